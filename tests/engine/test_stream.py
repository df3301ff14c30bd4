"""The stream in the engine: policies learn late, and it makes no difference but to the time of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from radixdeck.daemon.engine.stream import BETWEEN_S, MOST_UNHEARD, Stream
from radixdeck.policies.events import EngineEvent, NodeAdded, PolicyFailed, PolicySwitched, PrefixMatched
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Subject


class Heard(PolicyHost):
    """A real host that remembers what it observed."""

    def __init__(self) -> None:
        super().__init__(["kv_caching"])
        self.heard: list[EngineEvent] = []

    def observe(self, event: EngineEvent) -> list[EngineEvent]:
        self.heard.append(event)
        return super().observe(event)


@pytest.fixture
def sent() -> list[EngineEvent]:
    return []


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def stream(heard: Heard, sent: list[EngineEvent]) -> Stream:
    return Stream(heard, sent.append)


def matched(number: int) -> PrefixMatched:
    told: dict[str, Any] = {"agent": f"agent{number % 2}", "session": "s", "prompt_tokens": 9, "cached_tokens": 0}
    return PrefixMatched(t_ns=number, rid=f"r{number}", **told)


def added(number: int) -> NodeAdded:
    return NodeAdded(t_ns=number, node=number, parent=0, start=0, tokens=1, agent="a", rid="r")


def test_a_fact_is_sent_at_once_and_learned_from_before_anybody_asks(
    stream: Stream, heard: Heard, sent: list[EngineEvent]
) -> None:
    facts = [matched(1), added(2), matched(3)]
    for fact in facts:
        stream.emit(fact)
    assert sent == facts
    assert heard.heard == [], "an answer does not wait for what policies learn"
    assert stream.event_ns == 3, "and yet the event clock has moved"
    stream.host.score(Subject("anchor", ("agent1",)), 0.0)
    assert heard.heard == facts, "in the order in which they were sent"
    stream.settle()
    assert heard.heard == facts, "each once"


def test_who_decides_is_known_at_once(stream: Stream, heard: Heard, sent: list[EngineEvent]) -> None:
    stream.emit(matched(1))
    stream.emit(PolicySwitched(t_ns=2, policy="kv_caching", enabled=False, by="test", why=""))
    assert [type(fact) for fact in heard.heard] == [PrefixMatched, PolicySwitched]
    follows = sent[-1]
    assert isinstance(follows, PolicySwitched)
    assert follows.policy == "lru", "what follows is sent behind its cause"
    assert heard.slot_policy("eviction") == "lru"


def test_what_a_failing_policy_leads_to_is_sent_once_it_has_learned(
    stream: Stream, heard: Heard, sent: list[EngineEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("radixdeck.policies.kv_caching.KvCaching.observe", fails)
    stream.emit(matched(1))
    stream.settle()
    assert any(isinstance(fact, PolicyFailed) and fact.policy == "kv_caching" for fact in sent)


def test_what_follows_from_a_fact_goes_before_a_switch_that_comes_later(
    stream: Stream, heard: Heard, sent: list[EngineEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a follower of the stream sees the policy fail after it was switched on again, and disagrees."""

    def fails(*_: object) -> None:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr("radixdeck.policies.kv_caching.KvCaching.observe", fails)
        stream.emit(matched(1))
        stream.emit(PolicySwitched(t_ns=2, policy="kv_caching", enabled=True, by="test", why="again"))
    kinds = [(type(fact), getattr(fact, "policy", "")) for fact in sent]
    assert kinds.index((PolicyFailed, "kv_caching")) < kinds.index((PolicySwitched, "kv_caching"))
    twin = Heard()
    for fact in sent:
        twin.observe(fact)
    assert twin.slot_policy("eviction") == heard.slot_policy("eviction") == "kv_caching"


def test_policies_are_never_far_behind(stream: Stream, heard: Heard) -> None:
    for number in range(MOST_UNHEARD):
        stream.emit(added(number))
    assert len(heard.heard) == MOST_UNHEARD


def test_a_policy_that_fails_while_nobody_waits_is_told_of_at_once(
    stream: Stream, sent: list[EngineEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def catch_up(_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("radixdeck.policies.kv_caching.KvCaching.catch_up", catch_up)
    stream.catch_up()
    assert [type(fact) for fact in sent][:2] == [PolicyFailed, PolicySwitched]


def test_behind_a_batch_some_of_it_is_learned_and_the_rest_worked_out_when_nobody_waits(
    stream: Stream, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[int] = []
    clock = iter((0.0, 0.0, BETWEEN_S / 2, BETWEEN_S))
    monkeypatch.setattr("radixdeck.daemon.engine.stream.time.perf_counter", lambda: next(clock))

    def catch_up(_: object) -> None:
        worked_out.append(len(heard.heard))

    monkeypatch.setattr("radixdeck.policies.kv_caching.KvCaching.catch_up", catch_up)
    facts = [matched(number) for number in range(3)]
    for fact in facts:
        stream.emit(fact)
    stream.learn_some()
    assert (heard.heard, worked_out) == (facts[:-1], [])
    stream.catch_up()
    assert (heard.heard, worked_out) == (facts, [len(facts)])
