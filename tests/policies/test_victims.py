"""The victim index against the plain definition: the lowest (score, last use) over all evictable nodes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.tree.queues import Ask, Queue
from radixdeck.policies.tree.victims import VictimIndex


@dataclass
class Leaf:
    id: int
    last_access_time: float


def test_choices_are_those_of_a_full_scan() -> None:
    rng = random.Random(1)
    subjects = [Subject("private", ("a",), f"s{i}") for i in range(6)]
    subject_of: dict[int, Subject] = {}
    keys = {subject: rng.choice([0.0, 1.0, 2.0]) for subject in subjects}
    index = VictimIndex(lambda node: subject_of[node])
    leaves: dict[int, Leaf] = {}
    inside: set[int] = set()
    for clock in range(20_000):
        node = rng.randrange(60)
        leaf = leaves.setdefault(node, Leaf(node, clock))
        subject_of.setdefault(node, rng.choice(subjects))
        match rng.randrange(5):
            case 0 if node not in inside:
                inside.add(node)
                index.add(leaf)
            case 1:
                assert (index.discard(node) is leaf) == (node in inside)
                inside.discard(node)
            case 2:
                leaf.last_access_time = clock
            case 3:
                subject_of[node] = rng.choice(subjects)
                index.move(node)
            case _:
                choice = index.choose(Ask(lambda subject: Score(keys[subject])))
                expected = min(inside, key=lambda n: (keys[subject_of[n]], leaves[n].last_access_time, n), default=None)
                oldest = min(inside, key=lambda n: (leaves[n].last_access_time, n), default=None)
                assert (choice.node if choice else None) == expected
                assert (choice.oldest if choice else None) == oldest
    assert len(index) == len(inside)


def test_a_choice_scores_each_subject_once_and_forgets_empty_ones() -> None:
    index = VictimIndex(lambda node: Subject("private", ("a",), f"s{node % 7}"))
    for node in range(5000):
        index.add(Leaf(node, node))
    asked: list[Subject] = []
    index.choose(Ask(lambda subject: asked.append(subject) or Score(0.0)))
    index.choose(Ask(lambda subject: asked.append(subject) or Score(0.0)))
    assert len(asked) == 7
    for node in range(5000):
        if node % 7:
            index.discard(node)
    asked.clear()
    index.begin()
    index.choose(Ask(lambda subject: asked.append(subject) or Score(0.0)))
    assert asked == [Subject("private", ("a",), "s0")]
    assert len(index.subjects) == 1


def test_what_comes_and_goes_between_evictions_does_not_pile_up() -> None:
    index = VictimIndex(lambda node: Subject("private", ("a",), f"s{node}"))
    for turn in range(1_000):
        index.add(Leaf(turn % 3, turn))
        index.discard(turn % 3)
    assert len(index._unscored) <= 3
    for turn in range(1_000):
        index.add(Leaf(10 + turn, turn))
        index.discard(10 + turn)
    assert len(index._unscored) < 100
    index.add(Leaf(3, 1_000))
    choice = index.choose(Ask(lambda subject: Score(0.0)))
    assert choice is not None
    assert choice.node == 3
    for turn in range(1_001, 2_000):
        index.add(Leaf(4 + turn % 3, turn))
        index.discard(4 + turn % 3)
    assert len(index._unscored) < 20


def test_a_node_that_is_locked_and_unlocked_for_ever_does_not_grow_its_queue() -> None:
    queue = Queue()
    for turn in range(10_000):
        leaf = Leaf(turn % 3, turn)
        queue.add(leaf)
        queue.members.pop(leaf.id)
    assert queue.entries <= 3
    for node in range(10_000):
        queue.add(Leaf(node + 10, node))
        queue.members.pop(node + 10)
        queue.add(Leaf(5, node))
    assert queue.entries <= 200


def test_queues_of_ended_sessions_do_not_pile_up_while_nothing_is_evicted() -> None:
    closed: set[str] = set()
    index = VictimIndex(lambda node: Subject("private", ("a",), "" if f"s{node}" in closed else f"s{node}"))
    most = 0
    for node in range(2_000):
        index.add(Leaf(node, node))
        closed.add(f"s{node}")
        index.close(f"s{node}")
        most = max(most, len(index.subjects))
    assert most < 200
    choice = index.choose(Ask(lambda subject: Score(0.0)))
    assert choice is not None
    assert choice.node == 0
    assert len(index) == 2_000


def test_what_comes_in_the_order_of_its_use_goes_in_that_order_and_so_does_what_does_not() -> None:
    queue, rng = Queue(), random.Random(2)
    leaves = [Leaf(node, node if node % 3 else rng.randrange(900)) for node in range(900)]
    for leaf in leaves:
        queue.add(leaf)
    for leaf in rng.sample(leaves, 300):
        leaf.last_access_time += rng.randrange(500)
    went: list[tuple[float, int]] = []
    while (head := queue.head()) is not None:
        assert queue.bound() <= head
        went.append(head)
        del queue.members[head[1]]
    assert went == sorted((leaf.last_access_time, leaf.id) for leaf in leaves)


def test_what_was_queued_for_an_ended_session_goes_by_its_own_again_once_that_is_back() -> None:
    """Nobody tells the index which nodes a session has that is live again."""
    live: set[str] = set()
    index = VictimIndex(lambda node: Subject("private", ("a",), f"s{node % 2}" if f"s{node % 2}" in live else ""))
    keys = {"": 0.0, "s0": 2.0, "s1": 1.0}
    for node in range(6):
        index.add(Leaf(node, node))
    live.add("s0")
    gone: list[int] = []
    while (choice := index.choose(Ask(lambda subject: Score(keys[subject.session])))) is not None:
        assert choice.subject.session in ({"", "s0"} if choice.node % 2 == 0 else {""})
        gone.append(choice.node)
        index.discard(choice.node)
    assert gone == [1, 3, 5, 0, 2, 4]


def test_a_queue_that_is_gone_is_not_scored_any_more() -> None:
    """It was worth something, so that nobody looked at it but by age, and nothing is known of it when it goes."""
    index = VictimIndex(lambda node: Subject("private", ("a",), f"s{node}"))
    for node in range(4):
        index.add(Leaf(node, node))
    worth = {Subject("private", ("a",), "s0"): 1.0}
    chosen: list[int] = []
    for told in ({}, worth, {}, {}):
        index.begin()
        choice = index.choose(
            Ask(lambda _: Score(0.0), lambda subjects: [0.0] * len(subjects), lambda _, told=told: told)
        )
        assert choice is not None
        chosen.append(choice.node)
        if len(chosen) == 2:
            index.discard(0)
            assert index.choose(Ask(lambda _: Score(0.0))) is not None
    assert chosen == [0, 1, 1, 1]
