"""The victim index against a full scan, whatever is done to it: nodes come, go, are used and change hands, a session
ends, scores change between eviction calls and subjects turn up within one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.primitives import Score, Subject, Subjects
from radixdeck.policies.tree.queues import Ask, Worthless
from radixdeck.policies.tree.victims import VictimIndex

NODES = st.integers(0, 5)
KEY = [0.0, 1.0, 2.0, -1.0]
SUBJECT = [
    Subject("private", ("a",)),
    Subject("private", ("a",), "s"),
    Subject("anchor", ("a",)),
    Subject("private", ("b",)),
    Subject("private", ("b",), "t"),
    Subject("unowned"),
]
KEYS = st.sampled_from(KEY)
SUBJECTS = st.sampled_from(SUBJECT[:3])
ASKED = st.sampled_from(["each", "together", "nonzero"])


@dataclass
class Leaf:
    id: int
    last_access_time: float


class Comparison:
    """`resident`: what a full scan looks at. `held`: the scores of this eviction call, as far as anybody asked."""

    def __init__(self, asked: str) -> None:
        self.keys_of = None if asked == "each" else self.scores
        self.nonzero_of = self.nonzero if asked == "nonzero" else None
        self.worthless_of: Worthless | None = None
        self.can_say = True
        self.told = 0
        self.subjects: dict[int, Subject] = {}
        self.resident: dict[int, Leaf] = {}
        self.leaves_ever: dict[int, Leaf] = {}
        self.keys: dict[Subject, float] = {}
        self.held: dict[Subject, float] = {}
        self.asked: list[Subject] = []
        self.clock = 0.0
        self.index = VictimIndex(lambda node: self.subjects[node])

    def tick(self) -> float:
        self.clock += 1.0
        return self.clock

    def score(self, subject: Subject) -> Score:
        self.asked.append(subject)
        return Score(self.keys.get(subject, 0.0))

    def scores(self, subjects: list[Subject]) -> list[float]:
        return [self.score(subject).key for subject in subjects]

    def nonzero(self, subjects: Subjects) -> dict[Subject, float] | None:
        """Some that are 0 or not evictable are told of, too. Where one is below 0 all are asked for after all."""
        evictable = {self.subjects[node] for node in self.resident}
        assert len(subjects) == len(evictable)
        assert set(subjects.common()) == {one for one in evictable if one.role != "private"}
        assert set(subjects.of_session("s")) == {one for one in evictable if one.session == "s"}
        if not self.can_say:
            return None
        if min(self.keys.values(), default=0.0) >= 0.0:
            self.asked += evictable
            self.told += 1
        return dict(self.keys)

    def nonzero_can_be_said(self, can_say: bool) -> None:
        self.can_say = can_say

    def told_score(self, subject: Subject) -> Score:
        """The parts of a key that was told before; the policy may be of another mind by now."""
        return Score(self.keys.get(subject, 0.0), {"part": 1.0})

    def becomes_a_leaf(self, node: int, subject: Subject, back: int) -> None:
        """Used just now, or a parent whose last use lies back, but never before an earlier one of its own."""
        if node not in self.resident:
            self.subjects[node] = subject
            leaf = self.leaves_ever.setdefault(node, Leaf(node, 0.0))
            leaf.last_access_time = max(leaf.last_access_time, self.tick() - back - 0.5)
            self.resident[node] = leaf
            self.index.add(leaf)

    def is_no_leaf(self, node: int) -> None:
        assert self.index.discard(node) is self.resident.pop(node, None)

    def is_used(self, node: int) -> None:
        if node in self.resident:
            self.resident[node].last_access_time = self.tick()

    def changes_hands(self, node: int, subject: Subject) -> None:
        self.subjects[node] = subject
        self.index.move(node)

    def session_ends(self) -> None:
        for node, subject in self.subjects.items():
            if subject.session == "s":
                self.subjects[node] = Subject("private", subject.agents)
        self.index.close("s")

    def changes_its_score(self, subject: Subject, key: float) -> None:
        self.keys[subject] = key

    def eviction_begins(self) -> None:
        self.held.clear()
        self.index.begin()

    def everything_is_flushed(self) -> None:
        self.resident.clear()
        self.held.clear()
        self.index.clear()

    def check_asked(self, new: set[Subject]) -> None:
        assert sorted(self.asked, key=str) == sorted(new, key=str)

    def is_chosen(self, evict: bool) -> None:
        self.asked.clear()
        score_of = self.told_score if self.keys_of else self.score
        choice = self.index.choose(Ask(score_of, self.keys_of, self.nonzero_of, self.worthless_of))
        alive = {self.subjects[node] for node in self.resident}
        self.check_asked(alive - self.held.keys())
        self.held |= {subject: self.keys.get(subject, 0.0) for subject in alive - self.held.keys()}
        ages = [(leaf.last_access_time, node) for node, leaf in self.resident.items()]
        lowest = min(((self.held[self.subjects[node]], time, node) for time, node in ages), default=None)
        oldest = min(ages, default=None)
        if lowest is None or oldest is None:
            assert choice is None
            return
        assert choice is not None
        assert (choice.score.key, choice.node, choice.subject) == (lowest[0], lowest[2], self.subjects[lowest[2]])
        assert choice.oldest == oldest[1]
        assert choice.score.parts == ({"part": 1.0} if self.keys_of else {})
        if evict:
            self.is_no_leaf(choice.node)


class Skimming(Comparison):
    """What is worth nothing is known to be, now and then; keys change between evictions only. `skimmed`: how often
    nobody was asked for a score."""

    def __init__(self) -> None:
        super().__init__("nonzero")
        self.worthless_of = self.worthless
        self.coming: dict[Subject, float] = {}
        self.skimmed = 0

    def worthless(self, subject: Subject) -> bool:
        return self.can_say and not self.keys.get(subject) and min(self.keys.values(), default=0.0) >= 0.0

    def changes_its_score(self, subject: Subject, key: float) -> None:
        self.coming[subject] = key

    def eviction_begins(self) -> None:
        super().eviction_begins()
        self.keys = dict(self.coming)

    def everything_is_flushed(self) -> None:
        super().everything_is_flushed()
        self.keys = dict(self.coming)

    def check_asked(self, new: set[Subject]) -> None:
        self.skimmed += bool(self.resident) and not self.asked


STEPS = st.one_of(
    st.tuples(st.just("becomes_a_leaf"), NODES, SUBJECTS, st.integers(0, 5)),
    st.tuples(st.just("becomes_a_leaf"), NODES, SUBJECTS, st.just(0)),
    st.tuples(st.just("is_no_leaf"), NODES),
    st.tuples(st.just("is_used"), NODES),
    st.tuples(st.just("changes_hands"), NODES, SUBJECTS),
    st.tuples(st.just("session_ends")),
    st.tuples(st.just("changes_its_score"), SUBJECTS, KEYS),
    st.tuples(st.just("eviction_begins")),
    st.tuples(st.just("nonzero_can_be_said"), st.booleans()),
    st.tuples(st.just("is_chosen"), st.booleans()),
    st.tuples(st.just("is_chosen"), st.just(False)),
    st.tuples(st.sampled_from(["everything_is_flushed", "session_ends"])),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(STEPS, min_size=30, max_size=60), ASKED)
def test_every_choice_is_that_of_a_full_scan(steps: list[tuple[Any, ...]], asked: str) -> None:
    comparison = Comparison(asked)
    for name, *what in steps:
        getattr(comparison, name)(*what)
        assert len(comparison.index) == len(comparison.resident)


def some_steps(rng: Random) -> Iterator[tuple[Any, ...]]:
    """Most keys are 0 and told apart by that, a few evictions in a row are of one kind, and everything else happens."""
    match rng.choices(range(6), (9, 6, 2, 2, 1, 12))[0]:
        case 0:
            yield "becomes_a_leaf", rng.randrange(12), rng.choice(SUBJECT), rng.choice((0, 0, 3))
        case 1:
            yield "changes_its_score", rng.choice(SUBJECT), rng.choices(KEY, (6, 4, 4, 1))[0]
        case 2:
            yield rng.choice(("is_no_leaf", "is_used")), rng.randrange(12)
        case 3:
            yield "changes_hands", rng.randrange(12), rng.choice(SUBJECT)
        case 4:
            yield "nonzero_can_be_said", rng.random() < 0.9
            yield (rng.choices(("session_ends", "everything_is_flushed"), (4, 1))[0],)
        case _:
            yield ("eviction_begins",)
            for _ in range(rng.choice((1, 1, 2, 4, 9))):
                yield "is_chosen", rng.random() < 0.5
                if rng.random() < 0.2:
                    yield "becomes_a_leaf", rng.randrange(12), rng.choice(SUBJECT), 0


C = TypeVar("C", bound=Comparison)


def drive(comparison: C, rng: Random) -> C:
    for _ in range(4_000):
        for name, *what in some_steps(rng):
            if name != "changes_hands" or what[0] in comparison.subjects:
                getattr(comparison, name)(*what)
    return comparison


@pytest.mark.parametrize("seed", range(4))
def test_so_is_every_choice_by_those_keys_alone_that_are_not_zero(seed: int) -> None:
    assert drive(Comparison("nonzero"), Random(seed)).told > 200


@pytest.mark.parametrize("seed", range(4))
def test_so_is_every_choice_of_what_is_known_to_be_worth_nothing(seed: int) -> None:
    comparison = drive(Skimming(), Random(seed))
    assert comparison.skimmed > 200
    assert comparison.told > 50
