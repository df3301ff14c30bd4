"""Under `lru` our cache keeps and evicts exactly what SGLang's own default cache (Rust core) does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agent_traffic import Workload

from radixdeck.policies.events import NodeEvicted, PrefixMatched

Maker = Callable[..., Any]


@pytest.mark.parametrize("seed", range(4))
def test_sequential_requests_hit_the_same(stock: Maker, ours: Maker, seed: int) -> None:
    workload = Workload(seed)
    plain, observed = stock(400), ours(400)
    assert type(plain.cache.tree_core).__name__ == "RustUnifiedTreeCore"
    for _ in range(500):
        tokens, identity, output = workload.next()
        assert observed.request(tokens, output, **identity) == plain.request(tokens, output)
    assert len(observed.kinds(NodeEvicted)) > 500
    assert all(event.instead == -1 for event in observed.kinds(NodeEvicted))
    observed.cache.sanity_check()


@pytest.mark.parametrize("seed", range(4))
def test_overlapping_requests_hit_the_same(stock: Maker, ours: Maker, seed: int) -> None:
    workload = Workload(seed)
    plain, observed = stock(1200), ours(1200)
    running: list[tuple[Any, Any, int]] = []
    hits: list[int] = []
    for _ in range(1100):
        if running and (len(running) == 5 or workload.random.random() < 0.5):
            first, second, output = running.pop(workload.random.randrange(len(running)))
            plain.finish(first, output)
            observed.finish(second, output)
            continue
        tokens, identity, output = workload.next()
        pair = plain.start(tokens), observed.start(tokens, **identity)
        assert pair[0].cached == pair[1].cached
        hits.append(pair[0].cached)
        running.append((*pair, output))
    assert len(hits) > 500
    assert sum(hits) > 0
    assert len(observed.kinds(NodeEvicted)) > 100
    assert [event.cached_tokens for event in observed.kinds(PrefixMatched)] == hits
    observed.cache.sanity_check()
    assert observed.cache.evictable_size() == plain.cache.evictable_size()
