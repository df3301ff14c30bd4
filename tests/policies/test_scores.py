"""Keys that are asked for together are those of each score, and what a policy may do wrong there fails it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from installed import install
from traffic import Shape, run

from radixdeck.policies.events import (
    ActionTaken,
    EngineEvent,
    NodeAdded,
    NodeOwned,
    PolicyFailed,
    PrefixMatched,
    TunableChanged,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.operator import Operator
from radixdeck.policies.primitives import BasePolicy, Score, Subject
from radixdeck.policies.tree.by_subject import BySubject

SUBJECTS = [Subject("private", ("a",)), Subject("anchor", ("a",)), Subject("unowned")]


@pytest.fixture(autouse=True)
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies of this file, as if they were installed."""
    install(tmp_path, monkeypatch, wrong=f"{__name__}:Wrong", bare=f"{__name__}:Bare", stubborn=f"{__name__}:Stubborn")


class Comparing(PolicyHost):
    """Holds the keys of all subjects asked for so far against their scores, now and then, and those that are told as
    not 0. `compared`: how many keys were not 0; `told`: of which so many were told so; `not_said`: how often that could
    not be said."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.compared = self.told = self.not_said = self.asked = 0
        self.seen: dict[Subject, None] = {}

    def score(self, subject: Subject, now_s: float) -> Score:
        self.seen[subject] = None
        self.asked += 1
        if self.asked % 50 == 0:
            subjects = list(self.seen)
            keys = self.scores(subjects, now_s)
            assert keys == [super(Comparing, self).score(one, now_s).key for one in subjects]
            self.compared += sum(key != 0.0 for key in keys)
            self.compare_nonzero(dict(zip(subjects, keys, strict=True)), now_s)
        return super().score(subject, now_s)

    def compare_nonzero(self, keys: Mapping[Subject, float], now_s: float) -> None:
        """Beside many sessions that are over, else it is not said."""
        gone = [Subject("private", ("agent1",), f"gone{number}") for number in range(2 * len(keys))]
        told = self.nonzero(by_subject([*keys, *gone]), now_s)
        if told is None:
            self.not_said += 1
            return
        assert told == {subject: keys[subject] for subject in told}
        assert {subject for subject, key in keys.items() if key} <= told.keys()
        sure = {subject for subject in (*keys, *gone) if self.worthless(subject)}
        assert not {subject for subject, key in keys.items() if key} & sure
        assert sure >= set(gone)
        self.told += sum(key != 0.0 for key in told.values())


@pytest.mark.parametrize("style", ["private", "supervisor"])
@pytest.mark.parametrize("supersession", [0.0, 1.0])
def test_keys_are_those_of_the_scores_to_the_last_bit(style: str, supersession: float) -> None:
    host = Comparing(["kv_caching"], {"kv_caching": {"supersession": supersession}})
    host.observe(ActionTaken(t_ns=0, id="1", kind="boost", agent="agent1", amount=3.0, ttl_s=1e9))
    run(Shape("random", agents=8, requests=200, style=style, tool_share=0.3), "kv_caching", 6_000, host=host)
    assert host.compared > 500
    assert host.not_said
    assert not host.told, "a boost bears on what the other policy has nothing to say of"
    assert not [facts.failed for facts in host.info() if facts.failed]


@pytest.mark.parametrize("style", ["private", "supervisor"])
@pytest.mark.parametrize("agents", [6, 90], ids=["6 agents", "more agents than slots"])
def test_what_is_not_told_as_worth_anything_is_worth_nothing(style: str, agents: int) -> None:
    host = Comparing(["kv_caching", "fairness"])
    run(Shape("random", agents=agents, requests=300, style=style, tool_share=0.3), "kv_caching", 6_000, host=host)
    assert host.told > 500
    host.observe(ActionTaken(t_ns=10**15, id="1", kind="pin", agent="agent1"))
    assert not host.worthless(Subject("private", ("agent1",), "gone1")), "an operator may have to say something"
    assert host.not_said < host.asked / 50 / 2, "only while nothing is learned"
    assert not [facts.failed for facts in host.info() if facts.failed]


class Wrong(BasePolicy):
    """Says what `said` is, and heeds dispatches only."""

    name: ClassVar[str] = "wrong"
    slot: ClassVar[str] = "eviction"
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (PrefixMatched,)
    said: ClassVar[list[float]] = []
    made: ClassVar[list[Wrong]] = []

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[EngineEvent] = []
        self.made.append(self)

    def observe(self, event: EngineEvent) -> None:
        self.heard.append(event)

    def score(self, subject: Subject, now_s: float) -> Score:
        return Score(1.0)

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        return list(self.said)


@pytest.mark.parametrize(("said", "what"), [([1.0, math.inf, 0.0], "inf"), ([1.0], "1 scores of 3 subjects")])
def test_keys_that_are_missing_or_not_finite_fail_the_policy(
    said: list[float], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrong, "said", said)
    host = PolicyHost(["wrong"])
    assert host.scores(SUBJECTS, 1.0) == [0.0, 0.0, 0.0]
    assert_failed(host, what)


@pytest.mark.parametrize(
    ("said", "what"),
    [({SUBJECTS[1]: math.nan}, "anchor"), ([1.0], "[1.0]"), ([], "[]"), ("", "''"), ({SUBJECTS[1]: "high"}, "str")],
)
def test_so_do_those_that_are_told_as_not_zero(said: object, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nonzero(*_: object) -> object:
        return said

    monkeypatch.setattr(Wrong, "nonzero", nonzero)
    host = PolicyHost(["wrong"])
    assert host.nonzero(by_subject(SUBJECTS), 1.0) == {}
    assert_failed(host, what)


def test_so_does_one_that_does_not_know_what_is_worthless(monkeypatch: pytest.MonkeyPatch) -> None:
    def worthless(*_: object) -> object:
        raise RuntimeError("cannot tell")

    monkeypatch.setattr(Wrong, "worthless", worthless)
    host = PolicyHost(["wrong"])
    assert not host.worthless(SUBJECTS[0])
    assert_failed(host, "cannot tell")
    assert host.worthless(SUBJECTS[0]), "lru says nothing of any"


def by_subject(subjects: list[Subject]) -> BySubject:
    queues = BySubject()
    for subject in subjects:
        queues.make(subject)
    return queues


def assert_failed(host: PolicyHost, what: str) -> None:
    (failure,) = [
        event
        for event in host.observe(TunableChanged(t_ns=1, policy="x", name="y", value=1.0))
        if isinstance(event, PolicyFailed)
    ]
    assert failure.call == "score"
    assert what in failure.error
    assert host.slot_policy("eviction") == "lru"


def test_keys_too_large_to_be_added_up_are_keys_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "said", [1e308, 1e308, 1e308])
    assert PolicyHost(["wrong"]).scores(SUBJECTS, 1.0) == [1e308] * 3


def test_a_policy_hears_of_what_it_heeds_only() -> None:
    Wrong.made.clear()
    host = PolicyHost(["wrong"])
    dispatch = PrefixMatched(t_ns=1, rid="r", agent="a", session="s", prompt_tokens=1, cached_tokens=0)
    host.observe(NodeAdded(t_ns=1, node=1, parent=0, start=0, tokens=1))
    host.observe(dispatch)
    host.observe(NodeOwned(t_ns=1, node=1, agents=("a",), role="private"))
    assert [event for policy in Wrong.made for event in policy.heard] == [dispatch]


class Bare:
    """A policy of another make, which knows nothing of keys in bulk."""

    name: ClassVar[str] = "bare"
    doc: ClassVar[str] = ""
    declares: ClassVar[tuple[object, ...]] = ()
    slot: ClassVar[str] = "eviction"
    scores_nodes: ClassVar[bool] = False
    learns_while_off: ClassVar[bool] = False
    splits_anchors = False

    def __init__(self) -> None:
        self.tunables = BasePolicy().tunables

    def observe(self, event: EngineEvent) -> None:
        pass

    def score(self, subject: Subject, now_s: float) -> Score:
        return Score(float(len(subject.role)))

    def predict(self, now_s: float) -> object:
        return BasePolicy().predict(now_s)

    def act(self, now_s: float) -> list[object]:
        return []


def test_a_policy_without_keys_in_bulk_is_asked_one_by_one() -> None:
    assert PolicyHost(["bare"]).scores(SUBJECTS, 1.0) == [7.0, 6.0, 7.0]


def test_nor_can_it_say_which_are_not_zero() -> None:
    assert PolicyHost(["bare"]).nonzero(by_subject(SUBJECTS), 1.0) is None
    assert not PolicyHost(["bare"]).worthless(SUBJECTS[0])
    assert PolicyHost(["lru"]).nonzero(by_subject(SUBJECTS), 1.0) == {}


class Stubborn(KvCaching):
    """Takes what is built in and has its own mind of what is worth what."""

    name: ClassVar[str] = "stubborn"

    def score(self, subject: Subject, now_s: float) -> Score:
        return Score(5.0)


def test_a_class_of_its_own_score_is_asked_for_that_alone() -> None:
    host = PolicyHost(["stubborn"])
    host.observe(PrefixMatched(t_ns=1, rid="r", agent="a", session="s", prompt_tokens=1, cached_tokens=0))
    subjects = [*SUBJECTS, *(Subject("private", ("a",), f"s{number}") for number in range(20))]
    assert host.scores(subjects, 1.0) == [5.0] * len(subjects)
    assert host.nonzero(by_subject(subjects), 1.0) is None
    assert not host.worthless(subjects[-1])


def test_two_policies_that_have_something_to_say_are_asked_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def nonzero(*_: object) -> object:
        return {SUBJECTS[1]: 2.0}

    monkeypatch.setattr(Wrong, "nonzero", nonzero)
    host = PolicyHost(["wrong"])
    assert host.nonzero(by_subject(SUBJECTS), 1.0) == {SUBJECTS[1]: 2.0}
    monkeypatch.setattr(Operator, "nonzero", nonzero)
    assert host.nonzero(by_subject(SUBJECTS), 1.0) is None


@pytest.mark.parametrize("over", [2, 40], ids=["few sessions are over", "most are"])
def test_what_is_not_zero_is_told_where_that_is_the_lesser_part_and_nothing_is_while_lru_takes_over(
    over: int,
) -> None:
    ticks = count()
    host = PolicyHost(["kv_caching"], timer=lambda: next(ticks) * 1e-6)
    for number in range(4):
        told = {"rid": f"r{number}", "agent": "a", "session": f"s{number}"}
        host.observe(PrefixMatched(t_ns=number, prompt_tokens=100, cached_tokens=0, anchor_tokens=10, **told))
    live = [Subject("private", ("a",), f"s{number}") for number in range(4)]
    subjects = by_subject([*live, *(Subject("private", ("a",), f"gone{number}") for number in range(over))])
    told = host.nonzero(subjects, 1.0)
    assert (told.keys() if told else None) == (set(live) if over > 4 else None)
    costs = {facts.name: facts.score_us for facts in host.info()}
    assert costs["kv_caching"] == (pytest.approx(1 / 4) if over > 4 else 0.0)
    assert [host.worthless(subject) for subject in subjects.queues] == [False] * 4 + [True] * over
    policy: Any = host._seats["kv_caching"].policy
    policy._guard.resting = 1
    assert host.worthless(live[0])
    assert host.nonzero(subjects, 1.0) == {}
