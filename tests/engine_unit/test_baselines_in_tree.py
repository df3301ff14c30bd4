"""Baselines on SGLang's real tree: LFU and SLRU hit what SGLang's own do, and what is known of nodes holds there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agent_traffic import Workload

from radixdeck.policies.baselines.nodes import Nodes
from radixdeck.policies.events import NO_NODE, EngineEvent, NodeEvicted, PolicySwitched
from radixdeck.policies.host import PolicyHost

Maker = Callable[..., Any]


class Watching(PolicyHost):
    """A host that keeps its own book of nodes."""

    def __init__(self, policy: str) -> None:
        super().__init__([policy])
        self.nodes = Nodes()

    def observe(self, event: EngineEvent) -> list[EngineEvent]:
        self.nodes.observe(event)
        return super().observe(event)


@pytest.mark.parametrize("policy", ["lfu", "slru"])
@pytest.mark.parametrize("capacity", [400, 800])
def test_sglangs_own_orders_hit_the_same(policy: str, capacity: int, stock: Maker, ours: Maker):
    workload = Workload(seed=3)
    plain, observed = stock(capacity, policy=policy), ours(capacity, policies=[policy])
    for _ in range(400):
        tokens, identity, output = workload.next()
        assert observed.request(tokens, output, **identity) == plain.request(tokens, output)
    assert len(observed.kinds(NodeEvicted)) > 200
    assert any(event.instead != NO_NODE for event in observed.kinds(NodeEvicted))


@pytest.mark.parametrize("policy", ["lfu", "slru"])
def test_switching_to_and_from_an_order_of_nodes_takes_hold_of_what_is_resident(policy: str, ours: Maker):
    bench, workload = ours(capacity=600), Workload(seed=5)
    sizes: list[set[bool]] = []
    for turn in range(90):
        if turn in (30, 60):
            switched = PolicySwitched(t_ns=turn, policy=policy, enabled=turn == 30)
            bench.observer.stream.emit(switched)
        tokens, identity, output = workload.next()
        bench.request(tokens, output, **identity)
        sizes.append({queue.subject.node != NO_NODE for queue in bench.observer.index._where.values()})
    assert (sizes[29], sizes[59], sizes[89]) == ({False}, {True}, {False})
    assert not bench.observer.broken


@pytest.mark.parametrize("policy", ["kvflow", "cachescout_sessions", "lfu"])
def test_hits_and_next_leaves_are_those_of_the_real_tree(policy: str, ours: Maker):
    host = Watching(policy)
    bench = ours(capacity=600, host=host)
    workload = Workload(seed=7)
    compared = 0
    for _ in range(150):
        tokens, identity, output = workload.next()
        bench.request(tokens, output, **identity)
        bench.observer.stream.settle()
        tree, index = bench.cache.tree_core, bench.observer.index
        for subject, queue in index.by_subject.queues.items():
            if (head := queue.head()) is None:
                continue
            node = host.nodes.next_to_go(subject)
            assert node is not None
            assert node.id == head[1]
            compared += 1
            assert node.hits == tree.node_by_id(node.id).hit_count
    assert compared > 1000
    assert len(bench.kinds(NodeEvicted)) > 100
    assert host.slot_policy("eviction") == policy
