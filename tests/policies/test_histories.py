"""How much of what they were given agents are given again: learned from what the engine can still compare, and only
from that."""

from __future__ import annotations

import pytest

from radixdeck.daemon.engine.sketch import REMEMBERED, Base
from radixdeck.policies.events import PrefixInserted, PrefixMatched
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.reuse.histories import Histories

ANCHOR_TOKENS, NEWS_TOKENS, OUTPUT_TOKENS = 300, 100, 50
TURN_TOKENS = NEWS_TOKENS + OUTPUT_TOKENS


class Engine:
    """What an engine tells of sessions that repeat all they had: it remembers its latest requests, see sketch.Recent.
    What they share is the anchor of their agent, and 40 tokens where that is another."""

    def __init__(self) -> None:
        self.policy = KvCaching()
        self.now_ns = 0
        self._turns: dict[tuple[str, str], int] = {}
        self._recent: list[tuple[str, str, str]] = []

    @property
    def learned(self) -> Histories:
        return self.policy._model.histories  # pyright: ignore[reportPrivateUsage]

    def asks(self, session: str, agent: str, *, warm: bool = False) -> None:
        """The next prompt of the agent in the session, and its answer."""
        self.now_ns += 10**8
        turn = self._turns.get((session, agent), 0)
        self._turns[session, agent] = turn + 1
        rid, tokens = f"{session} {agent} {turn}", ANCHOR_TOKENS + turn * TURN_TOKENS + NEWS_TOKENS
        base = self._base(session, agent, turn)
        self.policy.observe(PrefixMatched(
            t_ns=self.now_ns, rid=rid, agent=agent, session=session, prompt_tokens=tokens, cached_tokens=0,
            anchor_tokens=ANCHOR_TOKENS, base_rid=base.rid, base_tokens=base.tokens, warm=warm))  # fmt: skip
        self.policy.observe(PrefixInserted(
            t_ns=self.now_ns + 10**7, rid=rid, phase="finish", total_tokens=tokens + OUTPUT_TOKENS, new_tokens=0
        ))  # fmt: skip
        self._recent = [*self._recent[1 - REMEMBERED :], (rid, session, agent)]

    def _base(self, session: str, agent: str, turn: int) -> Base:
        found = Base()
        for rid, other, whose in self._recent:
            tokens = 40 if whose != agent else ANCHOR_TOKENS if other != session else ANCHOR_TOKENS + turn * TURN_TOKENS
            found = Base(rid, tokens) if tokens > found.tokens else found
        return found


@pytest.mark.parametrize("sessions", [REMEMBERED - 4, REMEMBERED + 8, 2 * REMEMBERED])
def test_names_hold_however_many_sessions_take_turns(sessions: int):
    engine = Engine()
    for _ in range(6):
        for number in range(sessions):
            engine.asks(f"s{number}", "a")
    assert engine.learned.names_hold.mean > 0.99
    assert engine.learned.prompts_kept[0] >= 0.8
    assert engine.learned.outputs_kept[0] >= 0.5


def test_an_anchor_that_nobody_used_lately_is_not_taken_to_be_another():
    engine = Engine()
    for number in range(6):
        for _ in range(REMEMBERED + 6):
            engine.asks("long", "busy")
        engine.asks(f"s{number}", "seldom")
    assert engine.learned.anchors_kept[1] == 1.0
    assert engine.learned.names_hold.mean > 0.99


def test_requests_that_nothing_is_learned_of_are_remembered_by_the_engine_too():
    engine = Engine()
    for _ in range(20):
        engine.asks("s", "a")
        for number in range(REMEMBERED):
            engine.asks(f"w{number}", "other" if number % 2 else "", warm=number % 2 == 1)
    assert engine.learned.prompts_kept[0] == pytest.approx(0.8)
    assert engine.learned.names_hold.mean == 1.0


def test_what_is_remembered_and_not_repeated_is_learned():
    engine = Engine()
    for turn in range(20):
        engine.asks("s", "a")
        if turn:
            engine._turns["s", "a"] = 1  # pyright: ignore[reportPrivateUsage]
            engine._recent = [(rid, "", agent) for rid, _, agent in engine._recent]  # pyright: ignore[reportPrivateUsage]
    assert engine.learned.prompts_kept[0] < 0.2
    assert engine.learned.names_hold.mean < 0.2


def test_a_session_that_comes_back_after_all_of_it_was_forgotten_is_not_taken_for_a_new_one():
    """Its place was another session's meanwhile, so that the lengths of its prompts are not known any more."""
    engine = Engine()
    for _ in range(3):
        engine.asks("away", "a")
    engine.policy._model._close("away")  # pyright: ignore[reportPrivateUsage]
    for number in range(10):
        engine.asks(f"s{number}", "a")
    engine.asks("away", "a")
    assert engine.learned.names_hold.mean == pytest.approx(1.0)
