"""The cases of what orders who waits: whole sessions of very different lengths, bursts of a few of many agents."""

from __future__ import annotations

from itertools import groupby

from radixdeck.demos.apart import Drive
from radixdeck.demos.drive import Outcome
from radixdeck.demos.policy_cases_order import BURST, BURST_AGENTS, DEEP, GAP_S, QUICK, STEPS, bursts, short_and_long
from radixdeck.demos.policy_measures import SESSION_MEAN


def test_a_session_takes_from_its_first_request_to_its_last_answer() -> None:
    def outcome(session: str, start_s: float, latency_s: float) -> Outcome:
        return Outcome(index=0, agent="a", session=session, start_s=start_s, latency_s=latency_s)

    drive = Drive([outcome("s", 1.0, 2.0), outcome("t", 2.0, 1.0), outcome("s", 5.0, 4.0), outcome("u", 0.0, 3.0)], 9.0)
    assert SESSION_MEAN.of(drive) == (8.0 + 1.0 + 3.0) / 3


def test_most_sessions_are_quick_and_some_are_deep_and_each_comes_at_its_time() -> None:
    turns = short_and_long(101, 400)
    assert turns == short_and_long(101, 400)
    sessions = [list(of) for _, of in groupby(turns, key=lambda turn: turn.session)]
    assert [of[0].think_s for of in sessions] == [number * GAP_S for number in range(len(sessions))]
    kinds = [{turn.agent.partition("-")[0] for turn in of} for of in sessions]
    assert 0.1 < kinds.count({DEEP}) / len(sessions) < 0.4
    assert kinds.count({DEEP}) + kinds.count({QUICK}) == len(sessions)
    assert all(
        len(of) in range(STEPS[kind][0], STEPS[kind][1] + 1) for of, (kind,) in zip(sessions, kinds, strict=True)
    )
    assert all([turn.last for turn in of] == [False] * (len(of) - 1) + [True] for of in sessions)


def test_a_burst_asks_few_of_many_agents_several_times() -> None:
    turns = bursts(101, 10 * BURST)
    assert all(
        len({turn.agent for turn in burst}) <= BURST_AGENTS for burst in zip(*[iter(turns)] * BURST, strict=True)
    )
    assert len({turn.agent for turn in turns}) > 2 * BURST_AGENTS
    assert len({turn.session for turn in turns}) == len(turns)
