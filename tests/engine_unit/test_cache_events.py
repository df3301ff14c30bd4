"""What our cache reports is what happened: the tree can be rebuilt from the events alone, at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from agent_traffic import Workload

from radixdeck.policies.events import (
    ActionTaken,
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
    PolicyFailed,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Score, Subject, Subjects
from radixdeck.policies.tree.queues import Ask

Maker = Callable[..., Any]


class Splitting(PolicyHost):
    """LRU that wants anchors split off."""

    @property
    def splits_anchors(self) -> bool:
        return True


class Favouring(Splitting):
    """Values one agent above all others."""

    favourite = "agent0"

    def score(self, subject: Subject, now_s: float) -> Score:
        return Score(float(self.favourite in subject.agents), {"favour": 1.0, "odd": float("nan")})

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """An eviction asks for the keys of all subjects at once, and for parts of the victims' scores only."""
        return [self.score(subject, now_s).key for subject in subjects]

    def nonzero(self, subjects: Subjects, now_s: float) -> None:
        """Not to be had more cheaply."""

    def worthless(self, subject: Subject) -> bool:
        return False


@dataclass
class Shown:
    parent: int
    start: int
    tokens: int
    agents: tuple[str, ...] = ()
    role: str = "unowned"
    session: str = ""


def rebuild(events: Iterable[EngineEvent]) -> dict[int, Shown]:
    """A reader's view, written from the contract in policies/events.py alone."""
    nodes: dict[int, Shown] = {}
    for event in events:
        match event:
            case NodeAdded():
                agents = (event.agent,) if event.agent else ()
                nodes[event.node] = Shown(event.parent, event.start, event.tokens, agents, event.role, event.session)
            case NodeSplit():
                lower = nodes[event.node]
                nodes[event.upper] = Shown(
                    lower.parent, lower.start, event.upper_tokens, lower.agents, lower.role, lower.session
                )
                lower.parent, lower.start = event.upper, lower.start + event.upper_tokens
                lower.tokens -= event.upper_tokens
            case NodeOwned():
                shown = nodes[event.node]
                shown.agents, shown.role, shown.session = event.agents, event.role, event.session
            case NodeEvicted():
                shown = nodes.pop(event.node)
                assert (shown.start, shown.tokens) == (event.start, event.tokens)
                assert (shown.agents, shown.role, shown.session) == (event.agents, event.role, event.session)
            case CacheFlushed():
                nodes.clear()
            case _:
                pass
    return nodes


def real(bench: Any) -> dict[int, Shown]:
    """SGLang's tree itself, with what the side table says of each node."""
    nodes: dict[int, Shown] = {}
    waiting = [(child, 0) for child in bench.cache.tree_core.root_node.children.values()]
    while waiting:
        node, start = waiting.pop()
        owned = bench.observer.ownership.nodes[node.id]
        nodes[node.id] = Shown(
            node.parent.id, start, len(node.key), owned.agents, owned.role,
            owned.session if owned.role == "private" else "",
        )  # fmt: skip
        waiting += [(child, start + len(node.key)) for child in node.children.values()]
    return nodes


@pytest.mark.parametrize("host", [Splitting, Favouring])
def test_the_tree_is_rebuilt_from_the_events(ours: Maker, host: type[PolicyHost]) -> None:
    bench, workload = ours(400, host=host(["lru"])), Workload(11)
    for turn in range(400):
        tokens, identity, output = workload.next()
        bench.request(tokens, output, **identity)
        if turn % 20 == 0:
            assert rebuild(bench.events) == real(bench)
    bench.cache.sanity_check()
    assert len(bench.observer.ownership.nodes) == len(real(bench))
    kinds = {type(event) for event in bench.events}
    assert {NodeAdded, NodeSplit, NodeOwned, NodeEvicted, PrefixMatched, PrefixInserted, AnchorMeasured} <= kinds
    assert PolicyFailed not in kinds


def test_times_never_go_backwards_and_events_survive_the_wire(ours: Maker) -> None:
    bench, workload = ours(400, host=Favouring(["lru"])), Workload(2)
    for _ in range(150):
        tokens, identity, output = workload.next()
        bench.request(tokens, output, **identity)
    times = [event.t_ns for event in bench.events]
    assert times == sorted(times)
    assert msgspec.json.decode(msgspec.json.encode(bench.events), type=list[EngineEvent]) == bench.events


def test_a_favoured_agent_keeps_its_nodes_and_the_reason_is_told(ours: Maker) -> None:
    bench = ours(300, host=Favouring(["lru"]))
    mine = list(range(3, 103))
    bench.request(mine, 3, agent="agent0", session="s", anchor=80)
    for turn in range(20):
        bench.request([1000 + turn * 60 + step for step in range(60)], 3, agent="other", session=f"t{turn}")
    assert bench.request(mine, 3, agent="agent0", session="s", anchor=80) == 99
    evicted = bench.kinds(NodeEvicted)
    assert {agent for event in evicted for agent in event.agents} == {"other"}
    told = next(event for event in evicted if event.instead != -1)
    assert told.instead_agent == "agent0"
    assert told.by_agent == "other"
    assert told.by_rid
    assert told.parts == {"favour": 1.0}


def test_what_the_operator_boosts_is_kept(ours: Maker) -> None:
    bench = ours(300, host=Splitting(["lru"]))
    mine = list(range(3, 103))
    bench.request(mine, 3, agent="agent0", session="s", anchor=80)
    boost = ActionTaken(
        t_ns=bench.events[-1].t_ns, id="1", kind="boost", agent="agent0", amount=5.0, ttl_s=3600.0, ok=True
    )
    bench.observer.stream.emit(boost)
    for turn in range(20):
        bench.request([1000 + turn * 60 + step for step in range(60)], 3, agent="other", session=f"t{turn}")
    assert bench.request(mine, 3, agent="agent0", session="s", anchor=80) == 99
    assert {agent for event in bench.kinds(NodeEvicted) for agent in event.agents} == {"other"}


def test_an_anchor_is_split_off_and_outlives_its_tail(ours: Maker) -> None:
    bench = ours(300, host=Splitting(["lru"]))
    bench.request(list(range(3, 103)), 3, agent="a", session="s", anchor=80)
    spans = {(owned.start, owned.tokens, owned.role) for owned in bench.observer.ownership.nodes.values()}
    assert (0, 80, "anchor") in spans
    assert (80, 20, "private") in spans
    while bench.request([5000 + len(bench.events) + step for step in range(50)], 2) == 0:
        gone = [event for event in bench.kinds(NodeEvicted) if "a" in event.agents]
        if gone:
            break
    assert gone[0].role == "private"
    assert not any(event.role == "anchor" for event in gone[:1])


def test_without_the_policys_wish_anchors_are_not_split(ours: Maker) -> None:
    bench = ours(300)
    bench.request(list(range(3, 103)), 3, agent="a", session="s", anchor=80)
    assert all(event.upper_tokens != 80 for event in bench.kinds(NodeSplit))


def test_each_dispatch_is_reported_once_with_its_prompt(ours: Maker) -> None:
    bench = ours(600)
    running = bench.start(list(range(3, 53)), agent="a", session="s1", anchor=40, tenant="t")
    bench.cache.requests.dispatched(running.req, None, bench.cache.tree_core)
    bench.finish(running, 4)
    bench.request([*range(3, 43), *range(100, 130)], 2, agent="a", session="s2", anchor=40, warm=True)
    first, second = bench.kinds(PrefixMatched)
    assert (first.prompt_tokens, first.cached_tokens, first.base_rid, len(first.tail)) == (50, 0, "", 200)
    assert (second.cached_tokens, second.base_rid, second.base_tokens) == (40, first.rid, 40)
    assert (second.tenant, first.tenant, second.warm, second.anchor_tokens) == ("default", "t", True, 40)
    prompt, finish, *_ = bench.kinds(PrefixInserted)
    assert (prompt.phase, prompt.total_tokens, prompt.new_tokens) == ("prompt", 50, 50)
    assert (finish.phase, finish.total_tokens, finish.new_tokens, len(finish.output)) == ("finish", 53, 3, 12)
    anchors = bench.kinds(AnchorMeasured)
    assert [(event.agent, event.tokens, event.exact, event.rid) for event in anchors] == [("a", 40, True, first.rid)]


def test_an_anchor_nobody_declared_is_learned(ours: Maker) -> None:
    bench = ours(600)
    for session in range(3):
        bench.request(
            [*range(3, 63), *range(1000 * (session + 1), 1000 * (session + 1) + 20)], agent="a", session=f"s{session}"
        )
    assert [(event.agent, event.tokens, event.exact) for event in bench.kinds(AnchorMeasured)] == [("a", 60, False)]
    roles = {(owned.start, owned.end): owned.role for owned in bench.observer.ownership.nodes.values()}
    assert roles[(0, 60)] == "anchor"


def test_namespaces_never_share(ours: Maker) -> None:
    bench = ours(600)
    for salt in ("x", "y"):
        running = bench.start(list(range(3, 53)), extra_key=salt, agent="a", session="s")
        assert running.cached == 0
        bench.finish(running)
    assert [event.base_tokens for event in bench.kinds(PrefixMatched)] == [0, 0]


def test_an_ended_session_is_merged_and_still_evicted(ours: Maker) -> None:
    from radixdeck.daemon.engine.control import Control
    from radixdeck.daemon.engine.protocol import Observe

    bench = ours(300)
    for turn in range(4):
        bench.request([turn * 100 + 1000 + step for step in range(40)], 2, agent="a", session=f"s{turn}")
    control = Control(bench.cache, bench.observer)
    for turn in range(4):
        assert control.obey(Observe("o", [SessionEnded(t_ns=0, session=f"s{turn}")])).ok
    bench.observer.index.choose(Ask(lambda _: Score(0.0)))
    assert bench.observer.index.subjects == [Subject("private", ("a",))]
    bench.request(list(range(5000, 5250)), 2, agent="b", session="x")
    assert len(bench.kinds(NodeEvicted)) >= 4


def test_a_flush_is_reported_and_everything_starts_afresh(ours: Maker) -> None:
    bench = ours(300)
    bench.request(list(range(3, 53)), agent="a", session="s")
    bench.cache.reset()
    bench.allocator.clear()
    assert isinstance(bench.events[-1], CacheFlushed)
    assert len(bench.observer.index) == 0
    assert bench.request(list(range(3, 53)), agent="a", session="s") == 0
    assert rebuild(bench.events) == real(bench)


def test_evictions_for_a_batch_are_put_down_to_the_request_that_needed_the_room(ours: Maker) -> None:
    from radixdeck.policies.tree.observer import Need
    from radixdeck.policies.tree.ownership import Who

    bench = ours(300)
    for turn in range(3):
        bench.request([1000 + turn * 100 + step for step in range(90)], 1, agent="old", session=f"s{turn}")
    needs = [Need(Who("r-first", "first", "x"), 25), Need(Who("r-second", "second", "y"), 95)]
    bench.observer.ask_needs = lambda: needs
    bench.allocator.evict_to_free_tokens(bench.cache, 120)
    assert bench.allocator.available_size() >= 120
    assert [event.by_agent for event in bench.kinds(NodeEvicted)] == ["second"]
    bench.allocator.evict_to_free_tokens(bench.cache, 290)
    assert bench.kinds(NodeEvicted)[1].by_rid == "r-first"
