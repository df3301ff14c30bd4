"""The best hit rate any cache could have had: Belady's bound on the radix tree, and plain LRU beside it.

A token kept from one use to the next is an interval that takes one token of room and yields one hit. When there is too
little room at some moment, dropping the interval that ends last is optimal, and a prefix's next use never comes after
that of what extends it, so the tree's rule (leaves go first) costs nothing.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .demand import Request, in_pages, steps_of
from .lru import LeastRecent
from .model_cache import ModelCache
from .trie import Trie

__all__ = ["Bound", "Request", "belady_bound", "lru_hits"]

NEVER = -1


@dataclass(frozen=True)
class Bound:
    """`hit_tokens` of `prompt_tokens` come from the cache; `reused_tokens` would with endless room.

    `assumed_tokens`: hits counted although the prefix was still being prefilled by another request and may not have
    been in the tree; without them the bound is exact. `by_request`: hits of each request (LRU only).
    """

    hit_tokens: int
    prompt_tokens: int
    reused_tokens: int = 0
    assumed_tokens: int = 0
    by_request: tuple[int, ...] = ()

    @property
    def hit_rate(self) -> float:
        """0 to 1."""
        return self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


def belady_bound(requests: Sequence[Request], capacity_tokens: int, page_size: int = 1) -> Bound:
    """What the best evictions would have given on these timings, without prefetch, whole pages at a time.

    A request holds its prompt from start to finish, and its output at the finish. Rounded upwards only: by
    `assumed_tokens`, and by the token a prompt ends in and by an output that is already there, which take no room just
    before. Rounded downwards only where a request is matched between two chunks of another one's prefill: all of that
    prompt counts as held by then. A flush is not known here: ask for each side of it on its own.
    """
    if page_size < 1 or capacity_tokens < 0:
        raise ValueError(f"capacity {capacity_tokens} tokens in pages of {page_size}: not a cache")
    uses = _Uses(requests, page_size)
    kept = _keep_soonest(uses.intervals, uses.held, capacity_tokens // page_size)
    always = uses.always + uses.assumed
    return Bound(
        hit_tokens=(kept + always) * page_size,
        prompt_tokens=sum(request.prompt_tokens for request in requests),
        reused_tokens=(sum(interval.size for interval in uses.intervals) + always) * page_size,
        assumed_tokens=uses.assumed * page_size,
    )


def lru_hits(requests: Sequence[Request], capacity_tokens: int, page_size: int = 1) -> Bound:
    """What SGLang's own order gives: whole leaves, least recently used first, prefixes of running requests locked.

    All chunks of a prompt go in when the last one does: a request tells no more.
    """
    cache = ModelCache(LeastRecent(), capacity_tokens, page_size)
    hits = [0] * len(requests)
    for step, index in steps_of(requests):
        match step:
            case "start":
                hits[index] = cache.start(index, requests[index])
            case "prefilled":
                cache.prefilled(index)
            case "finish":
                cache.finish(index)
    return Bound(sum(hits), sum(request.prompt_tokens for request in requests), by_request=tuple(hits))


@dataclass
class _Interval:
    """Pages idle from just after point `begin` until point `end`, where they are wanted again."""

    begin: int
    end: int
    size: int


class _Uses:
    """One walk over the steps. A point is a start or a finish: where room is taken. `held[p]`: pages that running
    requests hold at point p; `always`: hits on pages that a running request holds anyway."""

    def __init__(self, requests: Sequence[Request], page_size: int) -> None:
        self.intervals: list[_Interval] = []
        self.held: list[int] = []
        self.always = 0
        self.assumed = 0
        self._holding = 0
        self._trie = Trie()
        self._paths = self._segment(requests, page_size)
        nodes = len(self._trie.begin)
        self._holders = [0] * nodes
        self._released = [NEVER] * nodes
        self._in_tree = [False] * nodes
        self._may_be = [False] * nodes
        take = {"start": self._start, "prefilled": self._prefilled, "finish": self._finish}
        for step, index in steps_of(requests):
            take[step](*self._paths[index])

    def _segment(self, requests: Sequence[Request], page_size: int) -> list[tuple[list[int], int, int]]:
        """Cut all sequences so that a request uses every node whole or not at all: its nodes, how many of them the
        cache may serve, how many are prompt."""
        pages = [in_pages(request, page_size) for request in requests]
        for page in pages:
            for depth in (len(page.hashes), page.prompt, page.matchable):
                self._trie.insert(page.hashes[:depth])
        paths: list[tuple[list[int], int, int]] = []
        for page in pages:
            nodes = self._trie.path(page.hashes)
            ends = [self._trie.end[node] for node in nodes]
            paths.append((nodes, sum(end <= page.matchable for end in ends), sum(end <= page.prompt for end in ends)))
        return paths

    def _start(self, nodes: list[int], matchable: int, prompt: int) -> None:
        point = len(self.held)
        for place, node in enumerate(nodes[:prompt]):
            size = self._trie.size(node)
            if place < matchable:
                self._want(node, size, point)
            if not self._holders[node]:
                self._holding += size
                self._in_tree[node] = False
                self._may_be[node] = self._released[node] != NEVER
            self._holders[node] += 1
        self.held.append(self._holding)

    def _want(self, node: int, size: int, point: int) -> None:
        if not self._holders[node]:
            if self._released[node] != NEVER:
                self.intervals.append(_Interval(self._released[node], point, size))
        elif self._in_tree[node]:
            self.always += size
        elif self._may_be[node]:
            self.assumed += size

    def _prefilled(self, nodes: list[int], _matchable: int, prompt: int) -> None:
        for node in nodes[:prompt]:
            self._in_tree[node] = True

    def _finish(self, nodes: list[int], _matchable: int, prompt: int) -> None:
        point = len(self.held)
        output = sum(self._trie.size(node) for node in nodes[prompt:] if not self._holders[node])
        self.held.append(self._holding + output)
        for place, node in enumerate(nodes):
            self._in_tree[node] = True
            if place < prompt:
                self._holders[node] -= 1
                self._holding -= 0 if self._holders[node] else self._trie.size(node)
            if not self._holders[node]:
                self._released[node] = point


def _keep_soonest(intervals: list[_Interval], held: list[int], capacity: int) -> int:
    """Most pages that can be kept over their intervals when `held[p]` of `capacity` are taken at point p."""
    begins: dict[int, list[_Interval]] = defaultdict(list)
    ends: dict[int, list[_Interval]] = defaultdict(list)
    for interval in intervals:
        begins[interval.begin].append(interval)
        ends[interval.end].append(interval)
    kept = idle = order = 0
    latest: list[tuple[int, int, _Interval]] = []
    for point, taken in enumerate(held):
        for interval in ends[point]:
            kept += interval.size
            idle -= interval.size if interval.end > interval.begin + 1 else 0
        for interval in begins[point - 1]:
            if interval.end > point:
                heapq.heappush(latest, (-interval.end, order, interval))
                idle += interval.size
                order += 1
        excess = idle - max(0, capacity - taken)
        while excess > 0:
            interval = latest[0][2]
            dropped = min(excess, interval.size)
            interval.size -= dropped
            idle -= dropped
            excess -= dropped
            if not interval.size:
                heapq.heappop(latest)
    return kept
