"""What the model behind `kv_caching` hears of: what callers do, not what is done for them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import pytest

from radixdeck.policies.events import AnswerGiven, PrefixInserted, PrefixMatched, SessionEnded
from radixdeck.policies.kv_caching import KvCaching


class Told:
    """A policy that is told of requests, one a second."""

    def __init__(self) -> None:
        self.policy, self.t_ns = KvCaching(), 0

    def request(self, agent: str, session: str, *, closes: bool = False, warm: bool = False) -> None:
        rid = self.begin(agent, session, warm=warm)
        self.finish(rid, agent, session, closes=closes, warm=warm)

    def begin(self, agent: str, session: str, *, warm: bool = False) -> str:
        self.t_ns += 10**9
        who: dict[str, Any] = {"rid": f"r{self.t_ns}", "agent": agent, "session": session}
        self.policy.observe(PrefixMatched(t_ns=self.t_ns, prompt_tokens=100, cached_tokens=0, warm=warm, **who))
        return who["rid"]

    def finish(self, rid: str, agent: str, session: str, *, closes: bool, warm: bool = False) -> None:
        """A tenth of a second later."""
        at_ns = self.t_ns + 10**8
        done: dict[str, Any] = {"phase": "finish", "total_tokens": 110, "new_tokens": 110}
        self.policy.observe(PrefixInserted(t_ns=at_ns, rid=rid, **done))
        if not warm:
            self.policy.observe(AnswerGiven(t_ns=at_ns, rid=rid, agent=agent, session=session, closes=closes))

    def alive(self, session: str) -> float:
        """How likely it goes on."""
        likely = self.policy.predict(self.t_ns / 1e9 + 0.4).next_agent[session]
        return sum(likely.values())


def test_what_is_warmed_is_no_dispatch() -> None:
    plain, warmed = Told(), Told()
    for number in range(40):
        for told in (plain, warmed):
            told.request("a", f"s{number % 4}")
        warmed.request("b", f"s{number % 4}", warm=True)
    found = warmed.policy.predict(warmed.t_ns / 1e9)
    assert found.dispatches == plain.policy.predict(plain.t_ns / 1e9).dispatches == 40
    assert list(found.survival) == ["a"]


@pytest.mark.parametrize("over", [True, False])
def test_an_answer_that_closes_is_believed_as_often_as_its_session_was_over(over: bool) -> None:
    told = Told()
    for number in range(40):
        for turn in range(3):
            told.request("a", f"s{number}", closes=turn == (2 if over else 1))
        told.policy.observe(SessionEnded(t_ns=told.t_ns + 5 * 10**8, session=f"s{number}", reason="idle"))
    told.request("a", "last", closes=True)
    assert told.alive("last") < 0.15 if over else told.alive("last") > 0.8


def test_an_answer_that_closes_is_believed_by_the_turn_that_it_comes_at() -> None:
    """Of four answers the second and the last close, and only the last is the end."""
    told = Told()
    for number in range(60):
        for turn in range(4):
            told.request("a", f"s{number}", closes=turn % 2 == 1)
        told.policy.observe(SessionEnded(t_ns=told.t_ns + 5 * 10**8, session=f"s{number}", reason="idle"))
    for turn in range(4):
        told.request("a", "last", closes=turn % 2 == 1)
        if turn == 1:
            assert told.alive("last") > 0.8
    assert told.alive("last") < 0.2


def test_a_turn_counts_once_though_its_session_said_that_it_was_over_and_was_taken_for_ended() -> None:
    """Two requests at once; the answer of one closes; the other takes far longer than requests do."""
    told = Told()
    for number in range(200):
        for turn in range(2):
            told.request("a", f"s{number}", closes=turn == 1)
        told.policy.observe(SessionEnded(t_ns=told.t_ns + 10**7, session=f"s{number}", reason="declared"))
    first, second = told.begin("a", "x"), told.begin("a", "x")
    told.finish(first, "a", "x", closes=True)
    for number in range(60):
        told.t_ns += 60 * 10**9
        told.request("a", f"y{number}")
    model = told.policy._model
    assert "x" not in model.standing.by_name
    told.finish(second, "a", "x", closes=False)
    assert model.turns.weight(model.standing.by_name["x"]) == 1.0
