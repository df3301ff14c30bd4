"""The host: switching and tuning through events, isolation of policies that fail, settled conflicts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, cast

import pytest
from hypothesis import given, settings
from installed import install
from streams import engine_stream

from radixdeck.policies.conflicts import settle
from radixdeck.policies.events import (
    ActionTaken,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    TunableChanged,
)
from radixdeck.policies.host import PolicyError, PolicyHost, TunableError
from radixdeck.policies.parameters import Tunable
from radixdeck.policies.primitives import Action, BasePolicy, Prediction, Score, Subject

ANCHOR = Subject("anchor", ("coder",))


class Brittle(BasePolicy):
    """Does what its tunable says: 0 all is well, 1 raises in observe, 2 in score, 3 scores not-a-number, 4 in act,
    5 in predict, 6 forgets to return what it wants done."""

    name: ClassVar[str] = "brittle"
    doc: ClassVar[str] = "Fails on demand."
    slot: ClassVar[str] = "eviction"
    splits_anchors: ClassVar[bool] = True
    declares: ClassVar[tuple[Tunable, ...]] = (Tunable("mood", 0, 0, 9, "", "How it fails"),)

    def _fail_if(self, mood: int) -> None:
        if self.tunables["mood"] == mood:
            raise RuntimeError("in a mood")

    def observe(self, event: EngineEvent) -> None:
        if not isinstance(event, TunableChanged):
            self._fail_if(1)

    def score(self, subject: Subject, now_s: float) -> Score:
        self._fail_if(2)
        return Score(math.nan if self.tunables["mood"] == 3 else 7.0, {"seven": 7.0})

    def act(self, now_s: float) -> list[Action]:
        self._fail_if(4)
        forgets = self.tunables["mood"] == 6
        return cast("list[Action]", None) if forgets else [Action("warm", agent="coder")]

    def predict(self, now_s: float) -> Prediction:
        self._fail_if(5)
        return Prediction(dispatches=1)


@pytest.fixture(autouse=True)
def brittle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, brittle=f"{__name__}:Brittle")


def moody(mood: int) -> PolicyHost:
    return PolicyHost(["brittle"], {"brittle": {"mood": mood}})


def poke(host: PolicyHost, t_ns: int = 1) -> list[EngineEvent]:
    return host.observe(NodeEvicted(t_ns=t_ns, node=1, tokens=5, start=0))


def test_lru_holds_the_eviction_slot_when_nobody_else_does():
    assert PolicyHost([]).slot_policy("eviction") == "lru"
    assert PolicyHost(["kv_caching"]).slot_policy("eviction") == "kv_caching"
    assert not PolicyHost(["lru"]).splits_anchors
    assert PolicyHost(["kv_caching"]).splits_anchors


@pytest.mark.parametrize("enabled", [["nobody"], ["lru", "kv_caching"]])
def test_names_that_cannot_be_enabled_are_refused(enabled: list[str]):
    with pytest.raises(PolicyError, match=enabled[-1]):
        PolicyHost(enabled)


@pytest.mark.parametrize("tunables", [{"kv_caching": {"turnover": -1.0}}, {"lru": {"what": 1.0}}])
def test_bad_tunables_are_refused(tunables: dict[str, dict[str, float]]):
    with pytest.raises(TunableError):
        PolicyHost(["lru"], tunables)


def test_switching_one_policy_of_a_slot_on_switches_the_other_off():
    host = PolicyHost(["lru"])
    follow_ups = host.observe(PolicySwitched(t_ns=5, policy="kv_caching", enabled=True))
    assert [(event.policy, event.enabled) for event in follow_ups if isinstance(event, PolicySwitched)] == [
        ("lru", False)
    ]
    assert host.slot_policy("eviction") == "kv_caching"
    assert [more for event in follow_ups for more in host.observe(event)] == []
    host.observe(PolicySwitched(t_ns=6, policy="kv_caching", enabled=False))
    assert host.slot_policy("eviction") == "lru"


@pytest.mark.parametrize(("name", "enabled"), [("nobody", True), ("operator", False), ("lru", False)])
def test_impossible_switches_are_refused_in_words(name: str, enabled: bool):
    with pytest.raises(PolicyError, match=name):
        PolicyHost(["lru"]).check_switch(name, enabled)


def test_tuning_is_checked_and_takes_effect_by_observing():
    host = PolicyHost(["kv_caching"])
    with pytest.raises(TunableError, match="turnover"):
        host.check_tune("kv_caching", "turnover", 1e9)
    with pytest.raises(TunableError, match=r"known: .*turnover"):
        host.check_tune("kv_caching", "nothing", 1)
    with pytest.raises(PolicyError, match="nobody"):
        host.check_tune("nobody", "turnover", 1)
    host.check_tune("kv_caching", "turnover", 3)
    host.observe(TunableChanged(t_ns=1, policy="kv_caching", name="turnover", value=3))
    host.observe(TunableChanged(t_ns=2, policy="kv_caching", name="turnover", value=1e9))
    host.observe(TunableChanged(t_ns=3, policy="nobody", name="turnover", value=1))
    assert {facts.name: facts.values for facts in host.info()}["kv_caching"]["turnover"] == 3


@pytest.mark.parametrize(
    ("mood", "call"), [(1, "observe"), (2, "score"), (3, "score"), (4, "act"), (5, "predict"), (6, "act")]
)
def test_a_policy_that_fails_is_switched_off_once_and_lru_stands_in(mood: int, call: str):
    host = moody(mood)
    failures = poke(host)
    host.act(1.0)
    host.predict(1.0)
    assert host.score(ANCHOR, 1.0).key == (0.0 if mood < 4 else host.score(ANCHOR, 1.0).key)
    failures += poke(host, 2) + poke(host, 3)
    assert [(event.policy, event.call) for event in failures if isinstance(event, PolicyFailed)] == [("brittle", call)]
    assert host.slot_policy("eviction") == "lru"
    assert host.score(ANCHOR, 1.0) == Score(0.0)
    assert not host.splits_anchors
    assert {facts.name: facts.failed for facts in host.info()}["brittle"]


def test_a_policy_that_failed_comes_back_fresh_with_its_tunables():
    host = moody(2)
    assert host.score(ANCHOR, 1.0).key == 0.0
    host.observe(TunableChanged(t_ns=4, policy="brittle", name="mood", value=0))
    host.observe(PolicySwitched(t_ns=5, policy="brittle", enabled=True))
    assert host.score(ANCHOR, 1.0).key == 7.0
    assert not {facts.name: facts.failed for facts in host.info()}["brittle"]


def test_a_twin_learns_of_a_failure_from_the_stream():
    engine, twin = moody(2), moody(2)
    engine.score(ANCHOR, 1.0)
    for event in poke(engine):
        twin.observe(event)
    assert twin.slot_policy("eviction") == engine.slot_policy("eviction") == "lru"


def test_parts_carry_the_policy_when_several_have_something_to_say():
    host = moody(0)
    assert host.score(ANCHOR, 1.0) == Score(7.0, {"seven": 7.0})
    host.observe(ActionTaken(t_ns=1, id="1", kind="pin", agent="coder"))
    assert host.score(ANCHOR, 1.0) == Score(1e9 + 7.0, {"brittle.seven": 7.0, "operator.pin": 1e9})


def test_an_engine_that_starts_again_gets_fresh_policies_and_keeps_switches():
    host = PolicyHost(["kv_caching"])
    started = EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=10, page_size=1, policy="kv_caching")
    host.observe(started)
    host.observe(ActionTaken(t_ns=2, id="1", kind="pin", agent="coder"))
    host.observe(TunableChanged(t_ns=3, policy="kv_caching", name="turnover", value=3))
    host.observe(started)
    assert host.score(ANCHOR, 1.0).key < 1e9
    assert host.slot_policy("eviction") == "kv_caching"
    assert {facts.name: facts.values for facts in host.info()}["kv_caching"]["turnover"] == 3


def test_a_policy_learns_while_it_is_off_only_if_it_says_so_and_else_starts_afresh():
    host = PolicyHost(["lru"])
    mirror = PolicyHost(["lfu"])
    for each in (host, mirror):
        each.observe(NodeAdded(t_ns=1, node=1, parent=0, start=0, tokens=5, agent="coder", role="anchor"))
        each.observe(PrefixInserted(t_ns=2, rid="r", phase="finish", total_tokens=5, new_tokens=5, node=1))
        each.observe(PrefixMatched(t_ns=3, rid="r", agent="coder", session="s", prompt_tokens=5, cached_tokens=5))
    assert mirror.score(ANCHOR, 1.0).key == 1.0
    for each in (host, mirror):
        each.observe(PolicySwitched(t_ns=4, policy="kv_caching", enabled=True))
        each.observe(PolicySwitched(t_ns=5, policy="lfu", enabled=True))
        assert each.score(ANCHOR, 1.0).key == 0.0
        assert each.predict(1.0).dispatches == 1


def test_switching_on_what_is_on_forgets_nothing():
    host = PolicyHost(["lfu"])
    host.observe(NodeAdded(t_ns=1, node=1, parent=0, start=0, tokens=5, agent="coder", role="anchor"))
    host.observe(PrefixInserted(t_ns=2, rid="r", phase="finish", total_tokens=5, new_tokens=5, node=1))
    host.observe(PolicySwitched(t_ns=4, policy="lfu", enabled=True))
    assert host.score(ANCHOR, 1.0).key == 1.0


def test_costs_are_sampled_with_the_timer_given():
    ticks = iter(range(10_000))
    host = PolicyHost(["lru"], timer=lambda: next(ticks) * 1e-6)
    for number in range(200):
        host.observe(CacheFlushed(t_ns=number))
    observe_us = {facts.name: facts.observe_us for facts in host.info()}
    assert [observe_us[name] for name in ("lru", "operator", "kv_caching", "lfu")] == pytest.approx(
        [0.0, 1.0, 1.0, 0.0]
    ), "lru has nothing to learn, lfu is off: neither is called"


def test_evictions_count_for_the_policy_that_ordered_them():
    host = PolicyHost(["kv_caching"])
    poke(host)
    host.observe(ActionTaken(t_ns=2, id="1", kind="warm", agent="coder", by="kv_caching"))
    assert {facts.name: facts.decisions for facts in host.info() if facts.decisions} == {"kv_caching": 2}


def test_safety_then_the_operator_then_policies_have_the_last_word():
    warm, evict, other = Action("warm", agent="a"), Action("evict", agent="a"), Action("warm", agent="b")
    assert settle([("kv_caching", warm), ("kv_caching", other), ("operator", evict)]) == [
        ("operator", evict),
        ("kv_caching", other),
    ]
    assert settle([("operator", Action("release", agent="a")), ("safety", Action("quarantine", agent="a"))]) == [
        ("safety", Action("quarantine", agent="a"))
    ]
    assert settle([("b", warm), ("a", warm)]) == [("a", warm)]


@given(engine_stream)
@settings(deadline=None, max_examples=150)
def test_no_stream_makes_a_host_raise_and_twins_agree(stream: list[EngineEvent]):
    engine, twin = PolicyHost(["kv_caching"]), PolicyHost(["kv_caching"])
    subjects = [ANCHOR, Subject("private", ("coder",), "s0"), Subject("shared", ("*",)), Subject("unowned")]
    now_s = 0.0
    for event in stream:
        now_s = max(now_s, event.t_ns / 1e9)
        said = engine.observe(event)
        assert twin.observe(event) == said
        assert [engine.score(subject, now_s) for subject in subjects] == [
            engine.score(subject, now_s) for subject in subjects
        ]
    assert [engine.score(subject, now_s) for subject in subjects] == [
        twin.score(subject, now_s) for subject in subjects
    ]
    assert not {facts.name: facts.failed for facts in engine.info() if facts.failed} or any(
        isinstance(event, PolicyFailed) for event in stream
    )
    prediction = engine.predict(now_s)
    assert prediction == twin.predict(now_s)
    assert all(sum(row.values()) <= 1.001 for row in prediction.next_agent.values())


def test_a_capacity_below_nothing_is_none_at_all() -> None:
    host = PolicyHost(["kv_caching"])
    host.observe(EngineStarted(t_ns=1, pid=1, model="", capacity_tokens=-1, page_size=1, policy="kv_caching"))
    host.observe(PrefixMatched(t_ns=2, rid="r", agent="a", session="s", prompt_tokens=3, cached_tokens=0))
    host.observe(PrefixInserted(t_ns=3, rid="r", phase="prompt", total_tokens=3, new_tokens=3))
    assert not any(facts.failed for facts in host.info())


def test_event_clock_stands_still_for_what_a_what_if_is_not_told() -> None:
    host = PolicyHost(["lru"])
    host.observe(PrefixMatched(t_ns=5, rid="r", agent="a", session="s", prompt_tokens=3, cached_tokens=0))
    host.observe(NodeAdded(t_ns=7, node=1, parent=0, start=0, tokens=3))
    host.observe(NodeEvicted(t_ns=8, node=1, tokens=3, start=0))
    assert host.now_ns == 5
    host.observe(PrefixInserted(t_ns=9, rid="r", phase="prompt", total_tokens=3, new_tokens=3))
    host.observe(PrefixInserted(t_ns=6, rid="r", phase="finish", total_tokens=3, new_tokens=0))
    assert host.now_ns == 9
