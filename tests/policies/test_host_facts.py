"""What the observer says of nodes that lie on the host only, with nodes that are no more than links and lengths."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest

from radixdeck.policies.events import (
    CacheFlushed,
    EngineEvent,
    HostNodeKept,
    HostNodeLeft,
    NodeAdded,
    NodeEvicted,
    NodeSplit,
    PolicyFailed,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.observer import Observer
from radixdeck.policies.tree.ownership import NOBODY, Who


@dataclass(eq=False)
class Node:
    id: int
    parent: Node | None = None
    tokens: int = 0
    children: dict[int, Node] = field(default_factory=dict[int, "Node"])

    @property
    def key(self) -> range:
        return range(self.tokens)


@dataclass
class Heard:
    """A stream that keeps what it is told."""

    host: PolicyHost = field(default_factory=lambda: PolicyHost(["lru"]))
    events: list[EngineEvent] = field(default_factory=list[EngineEvent])
    clock: count[int] = field(default_factory=lambda: count(1))

    @property
    def event_ns(self) -> int:
        return self.host.now_ns

    def now_ns(self) -> int:
        return next(self.clock)

    def emit(self, event: EngineEvent) -> None:
        self.events.append(event)
        self.host.observe(event)


class Stage:
    """A root with one leaf of 100 tokens below it, added for a request of `a`."""

    def __init__(self) -> None:
        self.stream = Heard()
        self.observer = Observer(self.stream)
        self.root = Node(0)
        self.leaf = Node(1, self.root, 100)
        self.root.children[1] = self.leaf
        self.observer.inserting = Who("r", "a", "s")
        self.observer.added(self.leaf)
        self.stream.events.clear()

    def cut(self, tokens: int) -> Node:
        """The leaf in two, as SGLang does it; returns the upper part."""
        upper = Node(2, self.root, tokens, {1: self.leaf})
        self.leaf.parent, self.leaf.tokens = upper, self.leaf.tokens - tokens
        self.root.children = {2: upper}
        self.observer.split(self.leaf, upper)
        return upper

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self.stream.events]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_node_that_moves_and_comes_back_says_so(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=True)
    stage.observer.returned(stage.leaf)
    moved, back = stage.stream.events
    assert isinstance(moved, NodeEvicted)
    assert moved.to_host
    assert isinstance(back, NodeAdded)
    assert (back.from_host, back.node, back.tokens, back.agent) == (True, 1, 100, "a")


def test_a_node_that_is_dropped_there_is_nowhere(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=True)
    stage.observer.left(stage.leaf, to_host=False)
    assert stage.kinds == [NodeEvicted, HostNodeLeft]
    assert stage.stream.events[1] == HostNodeLeft(t_ns=stage.stream.events[1].t_ns, node=1, tokens=100)
    assert stage.observer.ownership.nodes == {}


def test_one_that_is_dropped_from_the_device_never_lay_there(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=False)
    stage.observer.left(stage.leaf, to_host=False)
    assert stage.kinds == [NodeEvicted]


def test_a_split_there_tells_both_parts(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=True)
    stage.cut(30)
    _, upper, lower = stage.stream.events
    assert isinstance(upper, HostNodeKept)
    assert isinstance(lower, HostNodeKept)
    assert (upper.node, upper.parent, upper.start, upper.tokens, upper.agents) == (2, 0, 0, 30, ("a",))
    assert (lower.node, lower.parent, lower.start, lower.tokens, lower.session) == (1, 2, 30, 70, "s")
    assert (upper.had_tokens, lower.had_tokens) == (0, 100)


def test_a_split_there_tells_the_roles_that_its_parts_have_by_then(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=True)
    stage.observer.ownership.set_anchor("a", 30)
    stage.cut(30)
    assert stage.kinds == [NodeEvicted, HostNodeKept, HostNodeKept]
    roles = {event.node: event.role for event in stage.stream.events if isinstance(event, HostNodeKept)}
    assert roles == {2: "anchor", 1: "private"}
    assert roles == {node: owned.role for node, owned in stage.observer.ownership.nodes.items()}


def test_whose_a_node_there_has_become_is_told(stage: Stage) -> None:
    stage.observer.left(stage.leaf, to_host=True)
    stage.cut(30)
    stage.stream.events.clear()
    stage.observer.used(stage.leaf, Who("r2", "b", "s2"))
    lower, upper = stage.stream.events
    assert isinstance(upper, HostNodeKept)
    assert isinstance(lower, HostNodeKept)
    assert (upper.node, upper.parent, upper.agents, upper.role, upper.had_tokens) == (2, 0, ("a", "b"), "shared", 30)
    assert (lower.node, lower.parent, lower.start, lower.agents, lower.tokens) == (1, 2, 30, ("a", "b"), 70)
    stage.observer.used(stage.leaf, Who("r3", "b", "s2"))
    assert len(stage.stream.events) == 2, "nothing has changed"


def test_that_a_node_there_is_out_of_use_is_told(stage: Stage) -> None:
    who = Who("r", "a", "s")
    stage.observer.ownership.meet(who, 100)
    stage.observer.used(stage.leaf, who)
    stage.observer.left(stage.leaf, to_host=True)
    stage.observer.ownership.meet(who, 100)
    stage.observer.used(stage.root, who)
    told = stage.stream.events[-1]
    assert isinstance(told, HostNodeKept)
    assert (told.node, told.parent, told.part) == (1, 0, "old")


def test_a_split_on_the_device_tells_of_no_host(stage: Stage) -> None:
    stage.cut(30)
    assert stage.kinds == [NodeSplit]


def test_what_is_read_from_a_store_is_told_of_as_lying_there_and_moves_like_any_other(stage: Stage) -> None:
    below = Node(3, stage.leaf, 20)
    stage.observer.inserting = NOBODY
    stage.observer.added(below, on_host=True)
    (told,) = stage.stream.events
    assert isinstance(told, HostNodeKept)
    assert (told.node, told.parent, told.start, told.tokens, told.role) == (3, 1, 100, 20, "unowned")
    assert told.had_tokens == 0
    stage.observer.returned(below)
    back = stage.stream.events[-1]
    assert isinstance(back, NodeAdded)
    assert (back.node, back.from_host) == (3, True)


def test_a_split_of_a_node_that_nobody_told_of_breaks_nothing(stage: Stage) -> None:
    unknown, upper = Node(3, stage.leaf, 20), Node(4, stage.leaf, 10)
    stage.observer.split(unknown, upper)
    assert (stage.kinds, stage.observer.broken) == ([], False)


def test_the_tree_told_anew_has_the_device_first(stage: Stage) -> None:
    upper = stage.cut(30)
    stage.observer.left(upper, to_host=True)
    stage.stream.events.clear()
    assert stage.observer.snapshot(stage.root) == 70
    assert stage.kinds == [CacheFlushed, NodeAdded, HostNodeKept]
    assert PolicyFailed not in stage.kinds
    assert not stage.observer.broken


def test_a_broken_observer_says_so_again_where_the_tree_is_told_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers take a flush for a sound one. What failed since by itself is not why it is broken."""
    monkeypatch.setattr(stage.observer.index, "move", lambda _: 1 / 0)
    stage.observer.reclassify(1)
    assert stage.observer.broken
    stage.observer.report_failure("obey", ValueError("no such agent"))
    stage.stream.events.clear()
    stage.observer.snapshot(stage.root)
    flush, failure = stage.stream.events[:2]
    assert isinstance(flush, CacheFlushed)
    assert isinstance(failure, PolicyFailed)
    assert (failure.policy, failure.call, failure.error) == (
        "radixdeck", "reclassify", "ZeroDivisionError: division by zero",
    )  # fmt: skip
    assert failure.t_ns == flush.t_ns
    stage.observer.flushed()
    stage.stream.events.clear()
    stage.observer.snapshot(stage.root)
    assert PolicyFailed not in stage.kinds
