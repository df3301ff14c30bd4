"""The best hit rate any cache could have had: Belady's bound on the radix tree, and plain LRU beside it.

A token kept from one use to the next is an interval that takes one token of room and yields a hit, and another for each
request that finds it while the one that ended the interval still computes: such a prefix is in the tree only if it was
kept. The most that fits is found exactly (`packing`). The tree's rule, leaves go first, is left out: a prefix is used
again no later than what extends it, so it would cost nothing if all intervals were worth the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .demand import Request, in_order, in_pages, steps_of
from .lru import LeastRecent
from .model_cache import CHUNK_TOKENS, ModelCache
from .packing import most_worth
from .trie import Trie

__all__ = ["Bound", "Request", "belady_bound", "hits_of", "lru_hits"]

NEVER = -1


@dataclass(frozen=True)
class Bound:
    """`hit_tokens` of `prompt_tokens` come from the cache; `reused_tokens` would with endless room.

    `by_request`: hits of each request (LRU only).
    """

    hit_tokens: int
    prompt_tokens: int
    reused_tokens: int = 0
    by_request: tuple[int, ...] = ()

    @property
    def hit_rate(self) -> float:
        """0 to 1."""
        return self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


def belady_bound(
    requests: Sequence[Request], capacity_tokens: int, page_size: int = 1, chunk_tokens: int = CHUNK_TOKENS
) -> Bound:
    """What the best evictions would have given on these timings, without prefetch, whole pages at a time.

    A request holds its prompt from start to finish, and its output at the finish; of a prompt longer than a chunk,
    which takes its room bit by bit, a chunk from the start on and the rest from when it is prefilled. Rounded upwards
    only: by that; by the token a prompt ends in and by an output that is already there, which take no room just
    before; by what two requests compute side by side, which takes room once; where a prefix would be given up before
    what extends it; and by the later chunks of a prompt, which others are taken to find as soon as its first one.
    Rounded downwards only where a chunk is prefilled in two, behind others of its batch, and a request is matched in
    between; and where running requests hold more than there is, which a model lets them (`ModelCache.over_pages`). A
    flush is not known here: ask for each side of it on its own.
    """
    if page_size < 1:
        raise ValueError(f"pages of {page_size} tokens: not a cache")
    return Uses(requests, page_size, chunk_tokens).bound(capacity_tokens)


def lru_hits(
    requests: Sequence[Request], capacity_tokens: int, page_size: int = 1, chunk_tokens: int = CHUNK_TOKENS
) -> Bound:
    """What SGLang's own order gives: whole leaves, least recently used first, prefixes of running requests locked.

    All chunks of a prompt go in when the last one does: a request tells no more.
    """
    hits = hits_of(ModelCache(LeastRecent(), capacity_tokens, page_size, chunk_tokens), requests)
    return Bound(sum(hits), sum(request.prompt_tokens for request in requests), by_request=tuple(hits))


def hits_of(cache: ModelCache, requests: Sequence[Request]) -> list[int]:
    """Tokens that a cache serves each request, by its own order of eviction."""
    hits = [0] * len(requests)
    for step, index in steps_of(requests):
        match step:
            case "start":
                hits[index] = cache.start(index, requests[index])
            case "prefilled":
                cache.prefilled(index)
            case "finish":
                cache.finish(index)
    return hits


@dataclass
class _Interval:
    """Pages of a node that are idle from just after point `begin` until point `end`, where they are used again. Kept
    until then they are served to `hits` requests."""

    begin: int
    end: int
    size: int
    hits: int = 0


@dataclass(frozen=True)
class _Path:
    """Nodes of a request's prompt and of its output, top down; the cache may serve the first `matchable` of them.
    `at_once`: how many take their room at the start, those in the first chunk of the prompt."""

    prompt: list[int]
    output: list[int]
    matchable: int
    at_once: int


class Uses:
    """One walk over the steps, for bounds at any capacity. A point is a start, a finish, or the end of the prefill of a
    long prompt: where room is taken. `held[p]`: pages that running requests are taken to hold at point p; `always`:
    hits on pages that a running request holds anyway.
    """

    def __init__(self, requests: Sequence[Request], page_size: int, chunk_tokens: int = CHUNK_TOKENS) -> None:
        self.page_size = page_size
        self.prompt_tokens = sum(request.prompt_tokens for request in requests)
        self.intervals: list[_Interval] = []
        self.held: list[int] = []
        self.always = 0
        self._chunk_pages = max(1, chunk_tokens // page_size)
        self._holding = 0
        self._trie = Trie()
        self._paths = self._segment(requests, page_size)
        nodes = len(self._trie.begin)
        self._users = [0] * nodes
        self._holders = [0] * nodes
        self._released = [NEVER] * nodes
        self._in_tree = [False] * nodes
        self._idle: dict[int, _Interval] = {}
        take = (self._start, self._inserted, self._prefilled, self._finish)
        moments = [(one.start, one.inserted, one.prefilled, one.finish) for one in requests]
        for rank, index in in_order(moments):
            take[rank](self._paths[index])
        self.intervals = [one for one in self.intervals if one.hits]

    def bound(self, capacity_tokens: int) -> Bound:
        """See belady_bound. Raises ValueError for a capacity below 0."""
        if capacity_tokens < 0:
            raise ValueError(f"capacity {capacity_tokens} tokens in pages of {self.page_size}: not a cache")
        capacity = capacity_tokens // self.page_size
        spans = [(one.begin + 1, one.end, one.hits, one.size) for one in self.intervals]
        kept = most_worth(spans, [max(0, capacity - held) for held in self.held])
        return Bound(
            hit_tokens=(kept + self.always) * self.page_size,
            prompt_tokens=self.prompt_tokens,
            reused_tokens=(sum(one.size * one.hits for one in self.intervals) + self.always) * self.page_size,
        )

    def working_set_tokens(self) -> int:
        """The least capacity in which the best evictions lose nothing: the most that is ever wanted at one point, held
        by running requests or used before and again later."""
        change = [0] * (len(self.held) + 1)
        for interval in self.intervals:
            change[interval.begin + 1] += interval.size
            change[interval.end] -= interval.size
        idle = accumulate(change)
        return max((held + kept for held, kept in zip(self.held, idle, strict=False)), default=0) * self.page_size

    def _segment(self, requests: Sequence[Request], page_size: int) -> list[_Path]:
        """Cut all sequences so that a request uses every node whole or not at all."""
        pages = [in_pages(request, page_size) for request in requests]
        for page in pages:
            for depth in (len(page.hashes), page.prompt, page.matchable, min(self._chunk_pages, page.prompt)):
                self._trie.insert(page.hashes[:depth])
        paths: list[_Path] = []
        for page in pages:
            nodes = self._trie.path(page.hashes)
            ends = [self._trie.end[node] for node in nodes]
            depths = (page.matchable, page.prompt, self._chunk_pages)
            matchable, prompt, first = (sum(end <= depth for end in ends) for depth in depths)
            paths.append(_Path(nodes[:prompt], nodes[prompt:], matchable, min(first, prompt)))
        return paths

    def _start(self, path: _Path) -> None:
        point = len(self.held)
        for place, node in enumerate(path.prompt):
            if not self._users[node]:
                self._in_tree[node] = False
                if self._released[node] != NEVER:
                    self._idle[node] = _Interval(self._released[node], point, self._trie.size(node))
                    self.intervals.append(self._idle[node])
            if place < path.matchable:
                self._want(node)
            self._users[node] += 1
        self._hold(path.prompt[: path.at_once])
        self.held.append(self._holding)

    def _want(self, node: int) -> None:
        if self._in_tree[node]:
            self.always += self._trie.size(node)
        elif node in self._idle:
            self._idle[node].hits += 1

    def _hold(self, nodes: Sequence[int]) -> None:
        for node in nodes:
            self._holding += 0 if self._holders[node] else self._trie.size(node)
            self._holders[node] += 1

    def _inserted(self, path: _Path) -> None:
        for node in path.prompt:
            self._in_tree[node] = True

    def _prefilled(self, path: _Path) -> None:
        if later := path.prompt[path.at_once :]:
            self._hold(later)
            self.held.append(self._holding)

    def _finish(self, path: _Path) -> None:
        point = len(self.held)
        output = sum(self._trie.size(node) for node in path.output if not self._users[node])
        self.held.append(self._holding + output)
        for node in path.prompt:
            self._users[node] -= 1
            self._holders[node] -= 1
            self._holding -= 0 if self._holders[node] else self._trie.size(node)
        for node in (*path.prompt, *path.output):
            self._in_tree[node] = True
            if not self._users[node]:
                self._released[node] = point
