"""The cases of what orders who waits: whole sessions of very different lengths, bursts of a few of many agents."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from radixdeck.demos.apart import Drive
from radixdeck.demos.drive import Outcome
from radixdeck.demos.policy_cases_order import BURST, BURST_AGENTS, OFFERED_PER_S, bursts, short_and_long
from radixdeck.demos.policy_measures import SESSION_MEAN, SESSION_P50


def test_a_session_takes_from_its_first_request_to_its_last_answer() -> None:
    def outcome(session: str, start_s: float, latency_s: float) -> Outcome:
        return Outcome(index=0, agent="a", session=session, start_s=start_s, latency_s=latency_s)

    drive = Drive([outcome("s", 1.0, 2.0), outcome("t", 2.0, 1.0), outcome("s", 5.0, 4.0), outcome("u", 0.0, 3.0)], 9.0)
    assert SESSION_MEAN.of(drive) == (8.0 + 1.0 + 3.0) / 3
    assert SESSION_P50.of(drive) == 3.0


def test_most_sessions_are_short_and_some_take_many_steps() -> None:
    turns = short_and_long(101, 600)
    lengths = sorted(Counter(turn.session for turn in turns).values())
    assert lengths[len(lengths) // 2] <= 3
    assert lengths[-1] >= 12
    assert [turn.last for turn in turns].count(True) == len(lengths)
    assert turns == short_and_long(101, 600)
    firsts = [turns[0], *(turn for before, turn in pairwise(turns) if before.last)]
    assert [turn.think_s for turn in firsts] == sorted(turn.think_s for turn in firsts)
    assert len(turns) / OFFERED_PER_S - 4 < firsts[-1].think_s < len(turns) / OFFERED_PER_S


def test_a_burst_asks_few_of_many_agents_several_times() -> None:
    turns = bursts(101, 10 * BURST)
    assert all(
        len({turn.agent for turn in burst}) <= BURST_AGENTS for burst in zip(*[iter(turns)] * BURST, strict=True)
    )
    assert len({turn.agent for turn in turns}) > 2 * BURST_AGENTS
    assert len({turn.session for turn in turns}) == len(turns)
