"""What plain LRU would have served in many sizes of cache, from one run over the stream: distances in the LRU stack.

A block of a prompt is served by every cache that holds more blocks than were used since its own last use. Only every
n-th block is followed, chosen by its hash, and stands for n (SHARDS, FAST 2015). What a running request holds counts as
in use until it ends, as the engine locks it. SGLang drops whole leaves: blocks that came together and were used
together have one time, that of the deepest.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .trie import Hashes

BLOCK_TOKENS = 16
MOST_BLOCKS = 16_384
"""Followed at once."""
SIZES = tuple(2.0 ** (place / 4) for place in range(-8, 9))
"""A quarter to four times the memory there is."""
WINDOW = 1_000
"""Requests that the curve is of."""
ENOUGH = 50
"""Requests that must come once a size is known, before a curve that began in mid-run reaches to it and is of them."""
_GOLDEN = np.uint32(0x9E3779B1)

Counts = npt.NDArray[np.int64]


class Curve(NamedTuple):
    """`rates[n]`: hit rate of plain LRU in `SIZES[n]` times `kv_tokens`, of as many sizes as are known; `live`: what
    was really served of the same requests. `every`: one block in so many was followed."""

    kv_tokens: int
    requests: int
    rates: tuple[float, ...]
    live: float
    every: int

    def at(self, times: float) -> float | None:
        """The rate at one of SIZES, or between two; None above those that are known."""
        known = [math.log2(size) for size in SIZES[: len(self.rates)]]
        place = math.log2(times)
        return float(np.interp(place, known, self.rates)) if place < known[-1] + 1e-9 else None


class _Running(NamedTuple):
    """A request under way: prompt and output, and the places that its prompt holds."""

    hashes: Hashes
    places: list[int]


class _Counted(NamedTuple):
    """A request. `known`: how many sizes were when it came; `sums`: 1, its prompt, what was served of it, and what each
    size would have served, in tokens."""

    known: int
    sums: Counts


class MissRatio:
    """The LRU stack as the time of each followed block's last use: blocks by hash, times by place.

    `cold`: the stream is joined in mid-run. What a cache would still hold of before, the stack misses; so a size is
    known only once as much was computed as it holds, and what came before that does not count for it.
    `entered_tokens`: what was computed so far.
    """

    def __init__(self, kv_tokens: int, *, cold: bool = False) -> None:
        self.kv_tokens = kv_tokens
        self.entered_tokens = 0
        self._cold = cold
        blocks = int(kv_tokens * SIZES[-1]) // BLOCK_TOKENS
        self.every = max(1, -(-blocks // MOST_BLOCKS))
        self._limits = np.array([kv_tokens * size / (BLOCK_TOKENS * self.every) for size in SIZES])
        self._most = int(self._limits[-1] * 1.2) + 8
        self._place: dict[int, int] = {}
        self._times: Counts = np.zeros(self._most, np.int64)
        self._locks: Counts = np.zeros(self._most, np.int64)
        self._leaf: list[int] = [0] * self._most
        self._leaf_blocks: Counter[int] = Counter()
        self._leaves = 0
        self._free = list(range(self._most))
        self._clock = 0
        self._running: dict[str, _Running] = {}
        self._computing: set[int] = set()
        self._seen: deque[_Counted] = deque()
        self._sums: Counts = np.zeros((len(SIZES) + 1, 3 + len(SIZES)), np.int64)
        """Of the requests seen, by how many sizes were known."""

    def clear(self) -> None:
        """The cache is empty; what was counted stays."""
        self._place.clear()
        self._times[:] = 0
        self._locks[:] = 0
        self._leaf_blocks.clear()
        self._running.clear()
        self._computing.clear()
        self._free = list(range(self._most))

    def asked(self, rid: str, hashes: Hashes, prompt_tokens: int, cached_tokens: int, *, counts: bool = True) -> None:
        """A request is looked up, and takes the room that its prompt needs; the last token is always computed.
        `hashes`: prompt and output; `counts`: False for a warm-up."""
        reach = max(0, prompt_tokens - 1)
        if counts:
            self._count(prompt_tokens, cached_tokens, self._found_by_size(hashes[:reach], reach))
        self.entered_tokens += max(0, prompt_tokens - cached_tokens)
        blocks = self._sample(hashes[:prompt_tokens])[0]
        new = [block for block in blocks if block not in self._place]
        self._touch(blocks)
        self._computing.update(new)
        places = [self._place[block] for block in blocks if block in self._place]
        self._locks[places] += 1
        self._running[rid] = _Running(hashes, places)

    def entered(self, rid: str, tokens: int) -> None:
        """The first tokens of a request are in the cache: others can find them."""
        running = self._running.get(rid)
        if running is not None:
            self._enter(running, tokens)

    def ended(self, rid: str, tokens: int) -> None:
        """A request has its output in the cache and lets go."""
        running = self._running.pop(rid, None)
        if running is not None:
            self._locks[running.places] -= 1
            self._enter(running, tokens)

    def curve(self) -> Curve | None:
        """As far as enough requests came once the sizes were known, all of it of the same requests. None before that,
        and before the first request."""
        since = np.cumsum(self._sums[::-1], axis=0)[::-1]
        known = int((since[1:, 0] >= (ENOUGH if self._cold else 1)).sum())
        requests, prompt, live, *found = since[known].tolist()
        if not known or not prompt:
            return None
        rates = tuple(tokens / prompt for tokens in found[:known])
        return Curve(self.kv_tokens, requests, rates, live / prompt, self.every)

    def _sizes_known(self) -> int:
        filled = self.entered_tokens / self.kv_tokens
        return sum(size <= filled for size in SIZES) if self._cold else len(SIZES)

    def _sample(self, hashes: Hashes) -> tuple[list[int], Counts]:
        """The followed blocks from the root on, and the depths at which they end."""
        tails = hashes[BLOCK_TOKENS - 1 :: BLOCK_TOKENS]
        ends = np.arange(1, len(tails) + 1, dtype=np.int64) * BLOCK_TOKENS
        if self.every > 1:
            chosen = ((tails * _GOLDEN) >> np.uint32(8)) % np.uint32(self.every) == 0
            tails, ends = tails[chosen], ends[chosen]
        return tails.tolist(), ends

    def _found_by_size(self, hashes: Hashes, reach: int) -> Counts:
        """Tokens that each size of cache would serve of a prompt."""
        blocks, ends = self._sample(hashes)
        known = self._known(blocks)
        if not known:
            return np.zeros(len(SIZES), np.int64)
        numbers = (self._distances(known)[:, None] <= self._limits[None, :]).sum(axis=0)
        lowest = np.concatenate(([0], ends))[numbers]
        highest = np.concatenate((ends - 1, [reach]))[numbers]
        # Where it really ends lies between two followed blocks; a prompt of which none is found is taken for new.
        return np.where(numbers > 0, (lowest + highest) // 2, 0)

    def _known(self, blocks: list[int]) -> list[int]:
        """Places of the leading blocks that others can find."""
        places: list[int] = []
        for block in blocks:
            place = self._place.get(block)
            if place is None or block in self._computing:
                break
            places.append(place)
        return places

    def _distances(self, places: list[int]) -> Counts:
        """How many followed blocks are in use or were used since each of these, itself among them; 0 for one in use. A
        prefix is used with all that extends it, so distances rise from the root on."""
        used = np.where(self._locks > 0, self._clock + 1, self._times)
        ordered = np.sort(used)
        distances = len(ordered) - np.searchsorted(ordered, used[places], side="left")
        return np.where(self._locks[places] > 0, 0, distances)

    def _enter(self, running: _Running, tokens: int) -> None:
        blocks = self._sample(running.hashes[:tokens])[0]
        self._computing.difference_update(blocks)
        self._touch(blocks)

    def _touch(self, blocks: list[int]) -> None:
        """Use them, the deepest first: a prefix is younger than what extends it. What is new is one leaf; the part of a
        leaf that is used alone is one of its own from now on."""
        # Marked as used before room is made, so that none of them goes for another one.
        self._times[[self._place[block] for block in blocks if block in self._place]] = self._clock + 1
        places = [self._placed(block) for block in blocks]
        held = [place for place in places if place is not None]
        for number, run in groupby(reversed(held), key=self._leaf.__getitem__):
            together = list(run)
            self._clock += 1
            self._times[together] = self._clock
            if number == 0 or len(together) < self._leaf_blocks[number]:
                self._leaves += 1
                for place in together:
                    self._leave(place)
                    self._leaf[place] = self._leaves
                self._leaf_blocks[self._leaves] = len(together)

    def _placed(self, block: int) -> int | None:
        """Where a block is followed; a new one gets a place, if there is one left."""
        place = self._place.get(block)
        if place is None:
            if not self._free:
                self._drop()
            if not self._free:
                return None
            place = self._place[block] = self._free.pop()
            self._leaf[place], self._times[place] = 0, self._clock + 1
        return place

    def _leave(self, place: int) -> None:
        leaf = self._leaf[place]
        self._leaf_blocks[leaf] -= 1
        if self._leaf_blocks[leaf] <= 0:
            del self._leaf_blocks[leaf]

    def _drop(self) -> None:
        """Forget an eighth of the blocks, those used longest ago: no cache of any of the sizes holds them."""
        oldest = np.partition(self._times, len(self._times) // 8)[len(self._times) // 8]
        may_go = (self._times <= oldest) & (self._locks == 0)
        gone = [block for block, place in self._place.items() if may_go[place]]
        for block in gone:
            place = self._place.pop(block)
            self._times[place] = 0
            self._free.append(place)
            self._computing.discard(block)
            self._leave(place)

    def _count(self, prompt: int, live: int, found: Counts) -> None:
        one = _Counted(self._sizes_known(), np.array([1, prompt, live, *found], np.int64))
        self._seen.append(one)
        self._sums[one.known] += one.sums
        if len(self._seen) > WINDOW:
            gone = self._seen.popleft()
            self._sums[gone.known] -= gone.sums
