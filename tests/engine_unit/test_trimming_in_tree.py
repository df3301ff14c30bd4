"""Victims of a real radix cache that are cut: what becomes of one that cannot go, and when they go whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from radixdeck.policies.events import NodeEvicted
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.reuse.guard import Guard

Maker = Callable[..., Any]
LEAF_TOKENS = 400


@pytest.fixture
def bench(ours: Maker) -> Any:
    """Three leaves, the first one used longest ago."""
    bench = ours(2000, host=PolicyHost(["kv_caching"]))
    for number in range(3):
        bench.request([3 + number] * LEAF_TOKENS, 1, agent="a", session=f"s{number}")
    return bench


def test_a_victim_that_cannot_go_keeps_its_age_when_it_was_cut(bench: Any) -> None:
    """Where there is no room on the host for it, SGLang asks for another one and leaves it where it is."""
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    tree = bench.cache.tree_core
    full = tree.components_by_type[ComponentType.FULL]
    freed = {ComponentType.FULL: 0}

    def chosen(times: int) -> list[int]:
        full.evict_device_start(100)
        nodes = [full.evict_device_next_node(freed, {}, {}) for _ in range(times)]
        full.evict_device_end()
        return nodes

    first, second = chosen(2)
    cut = tree.node_by_id(first)
    assert (len(cut.key), len(cut.parent.key)) == (100, LEAF_TOKENS - 100)
    assert cut.parent.last_access_time == cut.last_access_time < tree.node_by_id(second).last_access_time
    bench.cache.sanity_check()
    assert chosen(2) == [first, second]


@pytest.mark.parametrize("resting", [0, 5])
def test_pages_go_while_lru_takes_over_too(bench: Any, monkeypatch: pytest.MonkeyPatch, resting: int) -> None:
    """As in the shadow of LRU that the policy is held against."""
    from sglang.srt.mem_cache.base_prefix_cache import EvictParams

    matched = Guard.matched

    def rests(self: Guard, *args: Any) -> None:
        matched(self, *args)
        self.resting = resting

    monkeypatch.setattr(Guard, "matched", rests)
    bench.request([9] * LEAF_TOKENS, 1, agent="a", session="s9")
    bench.cache.evict(EvictParams(num_tokens=100))
    assert [event.tokens for event in bench.kinds(NodeEvicted)] == [100]
    bench.cache.sanity_check()
