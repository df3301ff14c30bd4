"""What plain LRU would have served, from the prefix hashes of prompts alone: a cache of sampled blocks, no KV in it.

Blocks end at every 128th token and are known by the prefix hash there, so names of agents and sessions do not matter.
Of a large cache only every n-th block is followed, chosen by its hash, in n times less room: the hits of a sample tell
those of the whole (SHARDS, FAST 2015). Like SGLang's tree it drops whole leaves: all that one insert had added.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from .events import EngineLoadSampled, EngineStarted, PrefixInserted, PrefixMatched

BLOCK_TOKENS = 128
MOST_BLOCKS = 160
REMEMBERED = 64
"""Requests whose blocks are kept, for prompts that are told as what they repeat of an earlier one: as many as the
engine tells them by."""
MAX_LINKS = 8
_HASH = (1 << 32) - 1
_GOLDEN = 0x9E3779B1

Blocks = tuple[int, ...]
"""Sampled blocks from the root on, each as its number in the prompt and its hash, in one integer."""


class Path(NamedTuple):
    """The sampled blocks of a request: the first `kept` of another's, then its own."""

    base: Path | None
    kept: int
    own: Blocks
    links: int

    def blocks(self) -> Blocks:
        chain: list[Blocks] = [self.own]
        path, kept = self.base, self.kept
        while path is not None:
            from_base = 0 if path.base is None else min(kept, path.kept)
            chain.append(path.own[: kept - from_base])
            path, kept = path.base, from_base
        return tuple(block for own in reversed(chain) for block in own)


class Shadow:
    """Blocks by hash in order of use, oldest first, with the insert that added them; and those of the last requests."""

    def __init__(self) -> None:
        self._capacity_blocks = 0
        self._every = 1
        self._inserts = 0
        self._held: OrderedDict[int, int] = OrderedDict()
        self._paths: OrderedDict[str, Path] = OrderedDict()

    def heard(self, event: EngineStarted | EngineLoadSampled) -> None:
        """How large the cache is; a new engine has an empty one."""
        if isinstance(event, EngineStarted):
            self._held.clear()
        blocks = event.capacity_tokens // BLOCK_TOKENS
        every = max(1, -(-blocks // MOST_BLOCKS))
        if every != self._every:
            self._held.clear()
            self._paths.clear()
        self._every, self._capacity_blocks = every, blocks // every

    def flushed(self) -> None:
        self._held.clear()

    def asked(self, event: PrefixMatched) -> tuple[int, int]:
        """A prompt is looked up: tokens of sampled blocks that LRU would have found and that were really found, both
        scaled up to all blocks."""
        path = self._path(event)
        self._remember(event.rid, path)
        blocks = path.blocks()
        found = really = 0
        for block in blocks:
            if block & _HASH not in self._held:
                break
            found += 1
        for block in reversed(blocks[:found]):
            self._held.move_to_end(block & _HASH)
        for block in blocks:
            really += (block >> 32) * BLOCK_TOKENS <= event.cached_tokens
        scale = BLOCK_TOKENS * self._every
        return found * scale, really * scale

    def inserted(self, event: PrefixInserted) -> None:
        """Prompt or output of a request is in the cache."""
        path = self._paths.get(event.rid)
        if path is None:
            return
        if event.output:
            output = self._sample(event.output, event.total_tokens - len(event.output) // 4)
            path = path._replace(own=path.own + output)
            self._remember(event.rid, path)
        self._inserts += 1
        held = self._held
        for block in reversed(path.blocks()):
            key = block & _HASH
            if key in held:
                held.move_to_end(key)
            else:
                held[key] = self._inserts
        self._make_room()

    def _make_room(self) -> None:
        held = self._held
        while len(held) > self._capacity_blocks:
            _, added_by = held.popitem(last=False)
            while held and held[oldest := next(iter(held))] == added_by:
                del held[oldest]

    def _path(self, event: PrefixMatched) -> Path:
        """The sampled blocks of a prompt; those it repeats of a request that is forgotten stay unknown."""
        own = self._sample(event.tail, event.base_tokens)
        base = self._paths.get(event.base_rid)
        if base is None:
            return Path(None, 0, own, 0)
        kept = sum((block >> 32) * BLOCK_TOKENS <= event.base_tokens for block in base.blocks())
        if base.links < MAX_LINKS:
            return Path(base, kept, own, base.links + 1)
        return Path(None, 0, base.blocks()[:kept] + own, 0)

    def _sample(self, hashes: bytes, begin: int) -> Blocks:
        """Of a run of prefix hashes, 4 bytes each, that begins at that depth."""
        first = begin // BLOCK_TOKENS + 1
        ends = np.frombuffer(hashes, "<u4")[first * BLOCK_TOKENS - begin - 1 :: BLOCK_TOKENS].tolist()
        blocks = [(first + place << 32) | end for place, end in enumerate(ends)]
        return tuple(block for block in blocks if self._every == 1 or self._is_sampled(block & _HASH))

    def _is_sampled(self, end: int) -> bool:
        return ((end * _GOLDEN & _HASH) >> 8) % self._every == 0

    def _remember(self, rid: str, path: Path) -> None:
        self._paths.pop(rid, None)
        self._paths[rid] = path
        while len(self._paths) > REMEMBERED:
            self._paths.popitem(last=False)
