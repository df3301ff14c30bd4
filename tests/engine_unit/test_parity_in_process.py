"""Under `lru` our cache keeps and evicts exactly what SGLang's own default cache (Rust core) does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from radixdeck.policies.events import NodeEvicted, PrefixMatched

Maker = Callable[..., Any]


class Workload:
    """Agents with shared preambles and anchors, several sessions each, prompts that extend and fork."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        preamble = self._text(10)
        self.anchors = [preamble + self._text(self.random.randrange(10, 50)) for _ in range(5)]
        self.histories: dict[tuple[int, int], list[int]] = {}

    def _text(self, tokens: int) -> list[int]:
        return [self.random.randrange(3, 1000) for _ in range(tokens)]

    def next(self) -> tuple[list[int], dict[str, Any], int]:
        agent, session = self.random.randrange(5), self.random.randrange(4)
        history = self.histories.setdefault((agent, session), [])
        if len(history) > 100 or self.random.random() < 0.05:
            history.clear()
        history += self._text(self.random.randrange(1, 15))
        who = {"agent": f"agent{agent}", "session": f"s{session}", "anchor": len(self.anchors[agent])}
        identity = who if self.random.random() < 0.9 else {}
        return self.anchors[agent] + history, identity, self.random.randrange(1, 6)


@pytest.mark.parametrize("seed", range(4))
def test_sequential_requests_hit_the_same(stock: Maker, ours: Maker, seed: int) -> None:
    workload = Workload(seed)
    plain, observed = stock(400), ours(400)
    assert type(plain.cache.tree_core).__name__ == "RustUnifiedTreeCore"
    for _ in range(1000):
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
    for _ in range(1500):
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
