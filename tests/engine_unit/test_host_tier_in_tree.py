"""What is told of the host tier is what SGLang's own tree holds there, whatever moves, comes back, splits or leaves."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any

import pytest
from agent_traffic import Workload

from radixdeck.daemon.engine.plugin import host_capacity_tokens
from radixdeck.policies.events import (
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    HostNodeKept,
    HostNodeLeft,
    NodeAdded,
    NodeEvicted,
    PolicyFailed,
)
from radixdeck.policies.residency import RunState, fold

Maker = Callable[..., Any]
STARTED = EngineStarted(
    t_ns=1, pid=1, model="m", capacity_tokens=4_000, page_size=1, policy="lru", host_capacity_tokens=9_000
)
IDENTITY = {"agent": "planner", "session": "s1"}


@pytest.fixture
def bench(ours: Maker) -> Any:
    """A cache whose tree believes in a host tier; what would be copied is only said to have been."""
    made = ours(4_000)
    made.cache.tree_core.set_hicache_enabled()
    made.cache.write_through_threshold = 1 << 30
    return made


def nodes_of(bench: Any) -> list[Any]:
    waiting, found = list(bench.cache.tree_core.root_node.children.values()), []
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].children.values()
    return found


def move(bench: Any, node: Any) -> None:
    """To the host, as after a copy that is done."""
    import torch
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    data = node.component_data[ComponentType.FULL]
    if data.host_value is None:
        data.host_value = torch.arange(len(node.key))
    result = bench.cache.tree_core.demote(node.id)
    for slots in result.device_frees.pop(ComponentType.FULL):
        bench.allocator.free(slots)
    result.device_frees.clear()
    result.host_frees.clear()


def drop(bench: Any, tokens: int) -> None:
    """Room is needed on the host."""
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    result = bench.cache.tree_core.drive_host_eviction(ComponentType.FULL, tokens)
    result.device_frees.clear()
    result.host_frees.clear()


def fetch(bench: Any, tokens: list[int]) -> None:
    """HiCache has read them from its storage into host memory."""
    import torch
    from sglang.srt.mem_cache.radix_cache import RadixKey

    core, key = bench.cache.tree_core, RadixKey(array("q", tokens), None)
    core.insert_host(core.root_node.id, key, torch.arange(len(tokens)), [f"{n:064x}" for n in range(len(tokens))])


def told(events: list[EngineEvent]) -> RunState:
    state = RunState()
    for event in (STARTED, *events):
        fold(state, event)
    return state


def spans(bench: Any, *, on_host: bool) -> dict[int, tuple[int, int, int]]:
    """Parent, start and tokens of the nodes that lie there."""
    starts = {node.id: node for node in nodes_of(bench)}

    def start(node: Any) -> int:
        above = starts.get(node.parent.id)
        return 0 if above is None else start(above) + len(above.key)

    return {
        node.id: (node.parent.id, start(node), len(node.key)) for node in starts.values() if node.evicted == on_host
    }


def shown(views: dict[int, Any]) -> dict[int, tuple[int, int, int]]:
    return {node: (view.parent, view.start, view.tokens) for node, view in views.items()}


def owners(nodes: dict[int, Any], among: Container[int] | None = None) -> dict[int, tuple[Any, ...]]:
    """Whose they are, in which role and part."""
    wanted = nodes if among is None else among
    return {node: (one.agents, one.role, one.part) for node, one in nodes.items() if node in wanted}


def test_from_device_to_host_and_back_in_two_parts(bench: Any) -> None:
    bench.request(list(range(10, 110)), 1, **IDENTITY)
    (node,) = nodes_of(bench)
    move(bench, node)
    (moved,) = bench.kinds(NodeEvicted)
    assert (moved.node, moved.to_host) == (node.id, True)
    assert shown(told(bench.events).host) == spans(bench, on_host=True)

    bench.request([*range(10, 50), *range(500, 520)], 1, **IDENTITY)
    upper, lower, *changed = bench.kinds(HostNodeKept)
    assert all(event.had_tokens == event.tokens for event in changed), "what they are changed, not how long they are"
    assert changed[-1].part == "old", "the prompt passed it by"
    state = told(bench.events)
    assert owners(state.host) == owners(bench.observer.ownership.nodes, state.host)
    assert (upper.start, upper.tokens, lower.node, lower.start, lower.parent) == (0, 40, node.id, 40, upper.node)
    assert upper.agents == lower.agents == ("planner",)
    back = [event for event in bench.kinds(NodeAdded) if event.from_host]
    assert [event.node for event in back] == [upper.node]

    drop(bench, 1_000)
    assert [event.node for event in bench.kinds(HostNodeLeft)] == [node.id]
    state = told(bench.events)
    assert state.host == {}
    assert shown(state.nodes) == spans(bench, on_host=False)
    assert state.totals.oddities == 0


def test_what_was_read_from_storage_is_known_when_a_look_up_ends_in_its_middle(bench: Any) -> None:
    fetch(bench, list(range(10, 110)))
    (node,) = nodes_of(bench)
    (read,) = bench.kinds(HostNodeKept)
    assert (read.node, read.start, read.tokens, read.role) == (node.id, 0, 100, "unowned")

    bench.request([*range(10, 50), *range(500, 520)], 1, **IDENTITY)
    assert not bench.kinds(PolicyFailed)
    (upper,) = [event for event in bench.kinds(NodeAdded) if event.from_host]
    assert (upper.start, upper.tokens, upper.rid) == (0, 40, "r1")
    assert bench.observer.ownership.nodes[upper.node].agents == ("planner",)
    state = told(bench.events)
    assert shown(state.host) == spans(bench, on_host=True) == {node.id: (upper.node, 40, 60)}
    assert shown(state.nodes) == spans(bench, on_host=False)


@pytest.mark.parametrize("seed", [3, 17])
def test_whatever_happens_both_tiers_are_known_node_by_node(bench: Any, seed: int) -> None:
    rng, workload = random.Random(seed), Workload(seed)
    for turn in range(150):
        tokens, identity, output = workload.next()
        if rng.random() < 0.2:
            tokens = [*tokens[: rng.randrange(1, len(tokens))], rng.randrange(3, 1_000)]
        if rng.random() < 0.2:
            fetch(bench, [*tokens, rng.randrange(1_000, 2_000)])
        bench.request(tokens, output, **identity)
        leaves = sorted(bench.cache.tree_core.evictable_device_leaves, key=lambda node: node.id)
        for node in rng.sample(leaves, min(len(leaves), rng.randrange(3))):
            move(bench, node)
        if rng.random() < 0.2:
            drop(bench, rng.randrange(1, 60))
        if turn % 10 == 0:
            state = told(bench.events)
            assert shown(state.host) == spans(bench, on_host=True)
            assert owners(state.host) == owners(bench.observer.ownership.nodes, state.host)
            assert shown(state.nodes) == spans(bench, on_host=False)
            assert state.totals.oddities == 0
    assert {HostNodeKept, HostNodeLeft} <= {type(event) for event in bench.events}
    assert not bench.kinds(PolicyFailed)


def test_the_tree_told_anew_has_both_tiers_the_device_first(bench: Any) -> None:
    for first in range(4):
        bench.request(list(range(1000 * first, 1000 * first + 60)), 1, agent=f"a{first}", session="s")
    for node in sorted(nodes_of(bench), key=lambda node: node.id)[:2]:
        move(bench, node)
    before = told(bench.events)
    bench.events.clear()
    bench.observer.snapshot(bench.cache.tree_core.root_node)
    assert [type(event) for event in bench.events] == [CacheFlushed, NodeAdded, NodeAdded, HostNodeKept, HostNodeKept]
    after = told(bench.events)
    assert (shown(after.host), shown(after.nodes)) == (shown(before.host), shown(before.nodes))
    assert {view.agents for view in after.host.values()} == {("a0",), ("a1",)}


def test_how_much_fits_is_what_the_anchor_pool_says() -> None:
    from sglang.srt.mem_cache.hicache_storage import PoolName
    from sglang.srt.mem_cache.pool_host import HostPoolGroup, PoolEntry

    pool = SimpleNamespace(
        layout="layer_first", page_size=1, device="cpu", size=500, logical_size=1_000, can_use_write_back_jit=False
    )
    entry = PoolEntry(PoolName.KV, pool, None, lambda layer: layer, is_primary_index_anchor=True)
    group = HostPoolGroup([entry])
    assert host_capacity_tokens(SimpleNamespace(host_pool_group=group, host_memory_mode="cache")) == 1_000
    assert host_capacity_tokens(SimpleNamespace(host_pool_group=group, host_memory_mode="buffer_only")) == 0
    assert host_capacity_tokens(SimpleNamespace(host_pool_group=None)) == 0
    assert host_capacity_tokens(SimpleNamespace()) == 0
