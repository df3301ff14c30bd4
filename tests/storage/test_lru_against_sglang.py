"""The LRU model serves every request exactly what SGLang's own RadixCache class does, on the same steps."""

from __future__ import annotations

import importlib.util
import random
from array import array
from typing import Any

import numpy as np
import pytest
from storage_samples import Numbering

from radixdeck.storage.bound import Request, belady_bound, lru_hits
from radixdeck.storage.demand import steps_of

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(importlib.util.find_spec("sglang") is None, reason="SGLang is not installed"),
]

CAPACITY = {1: 500, 3: 900}
"""Tokens of the pool, by how many requests run at once: what is locked fits, what is wanted again does not."""


class Pool:
    """Counts free tokens, which is all the cache asks of an allocator here."""

    device = "cpu"

    def __init__(self, tokens: int) -> None:
        self.free_tokens = tokens

    def free_segment(self, indices: Any, start_pos: int) -> None:
        self.free_tokens += len(indices)


class RealCache:
    """SGLang's RadixCache, driven the way its scheduler drives it."""

    def __init__(self, tokens: int) -> None:
        from sglang.srt.mem_cache import base_prefix_cache, radix_cache

        self.api, self.key_of = base_prefix_cache, radix_cache.RadixKey
        self.pool = Pool(tokens)
        self.tree = radix_cache.RadixCache.create_simulated(mock_allocator=self.pool)
        self.held: dict[int, tuple[Any, int]] = {}
        self.hits: dict[int, int] = {}

    def key(self, request: Request, length: int) -> Any:
        return self.key_of(array("q", (int(h) for h in request.hashes[:length])))

    def match(self, request: Request, length: int) -> tuple[Any, int]:
        found = self.tree.match_prefix(self.api.MatchPrefixParams(key=self.key(request, length)))
        return found.last_device_node, len(found.device_indices)

    def take(self, tokens: int) -> None:
        if self.pool.free_tokens < tokens:
            self.tree.evict(self.api.EvictParams(num_tokens=tokens - self.pool.free_tokens))
        self.pool.free_tokens -= tokens

    def settle(self, index: int, request: Request, length: int) -> None:
        before, own = self.held[index]
        present = self.tree.insert(self.api.InsertParams(key=self.key(request, length))).prefix_len
        self.pool.free_tokens += own - (length - present)
        node, _ = self.match(request, length)
        self.tree.dec_lock_ref(before)
        self.tree.inc_lock_ref(node)
        self.held[index] = node, 0

    def start(self, index: int, request: Request) -> None:
        node, hit = self.match(request, request.prompt_tokens - 1)
        self.tree.inc_lock_ref(node)
        self.hits[index], self.held[index] = hit, (node, request.prompt_tokens - hit)
        self.take(request.prompt_tokens - hit)

    def prefilled(self, index: int, request: Request) -> None:
        self.settle(index, request, request.prompt_tokens)

    def finish(self, index: int, request: Request) -> None:
        output = len(request.hashes) - request.prompt_tokens
        self.take(output)
        self.held[index] = self.held[index][0], output
        self.settle(index, request, len(request.hashes))
        self.tree.dec_lock_ref(self.held.pop(index)[0])


def conversations(seed: int, overlap: int) -> list[Request]:
    """Five agents with long anchors and growing sessions; up to `overlap` requests run at once."""
    chooser, number = random.Random(seed), Numbering()
    history: dict[tuple[int, int], list[str]] = {}
    drawn: list[tuple[np.ndarray, int]] = []
    for i in range(400):
        agent, session = chooser.randrange(5), chooser.randrange(4)
        said = history.setdefault((agent, session), [])
        said += [f"u{i}.{n}" for n in range(chooser.randrange(1, 20))]
        prompt = [f"a{agent}.{n}" for n in range(60 + 30 * agent)] + said
        said += [f"o{i}.{n}" for n in range(chooser.randrange(0, 9))]
        drawn.append((number.hashes(prompt + said[len(prompt) - 60 - 30 * agent :]), len(prompt)))
        if len(said) > 120:
            del history[agent, session]
    return scheduled(drawn, overlap, chooser)


def scheduled(drawn: list[tuple[np.ndarray, int]], overlap: int, chooser: random.Random) -> list[Request]:
    moments: list[list[int]] = [[] for _ in drawn]
    running: list[int] = []
    clock = started = 0
    while started < len(drawn) or running:
        if started < len(drawn) and len(running) < overlap:
            running.append(started)
            started += 1
            turn = running[-1]
        else:
            turn = chooser.choice(running)
        moments[turn].append(clock)
        clock += 1
        if len(moments[turn]) == 3:
            running.remove(turn)
    return [Request(f"r{i}", h, prompt, *moments[i]) for i, (h, prompt) in enumerate(drawn)]


@pytest.mark.parametrize("overlap", [1, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_same_hits_request_by_request(seed: int, overlap: int) -> None:
    requests, real = conversations(seed, overlap), RealCache(CAPACITY[overlap])
    take = {"start": real.start, "prefilled": real.prefilled, "finish": real.finish}
    for step, index in steps_of(requests):
        take[step](index, requests[index])
    model = lru_hits(requests, CAPACITY[overlap])
    assert model.by_request == tuple(real.hits[index] for index in range(len(requests)))
    best = belady_bound(requests, CAPACITY[overlap])
    assert model.hit_tokens < best.hit_tokens <= best.reused_tokens
