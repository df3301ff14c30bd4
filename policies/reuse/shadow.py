"""What plain LRU would have served, from the prefix hashes of prompts alone: a cache of sampled blocks, no KV in it.

Blocks end at every 128th token and are known by the prefix hash there, so names of agents and sessions do not matter.
Of a large cache only every n-th block is followed, chosen by its hash, in n times less room: the hits of a sample tell
those of the whole (SHARDS, FAST 2015). One block goes after the other, the end of a path first; or whole leaves, as in
SGLang's tree: all that one insert had added.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ..events import EngineLoadSampled, EngineStarted, PrefixInserted, PrefixMatched
from ..tags import tag_of

BLOCK_TOKENS = 128
MOST_BLOCKS = 384
REMEMBERED = 64
"""Requests whose blocks are kept, for prompts that are told as what they repeat of an earlier one: as many as the
engine tells them by."""
MOST_REMEMBERED_BLOCKS = 768
"""New blocks that all of these brought; the oldest are forgotten earlier where prompts repeat little."""
MAX_LINKS = 8
_GOLDEN = 0x9E3779B1

Blocks = bytes
"""Sampled blocks from the root on, 4 bytes each: the block's number in the prompt and 16 bits of its hash. Once in
65,536 times two blocks of one number are taken for each other."""


class Path(NamedTuple):
    """The sampled blocks of a request: the first `kept` of another's, then its own. `whole`: none are unknown."""

    base: Path | None
    kept: int
    own: Blocks
    links: int
    whole: bool

    def blocks(self) -> Blocks:
        """From the root on, the base's first."""
        if self.base is None:
            return self.own
        chain = [self.own]
        path, kept = self.base, self.kept
        while path is not None:
            from_base = 0 if path.base is None else min(kept, path.kept)
            chain.append(path.own[: 4 * (kept - from_base)])
            path, kept = path.base, from_base
        return b"".join(reversed(chain))


class Shadow:
    """Blocks by hash in order of use, oldest first, with the insert that added them; those of the last requests; and
    how many are missing of prompts that are being computed. `whole_leaves`: see above."""

    def __init__(self) -> None:
        self.whole_leaves = False
        self._capacity_blocks = 0
        self._every = 1
        self._inserts = 0
        self._held: OrderedDict[int, int] = OrderedDict()
        self._paths: OrderedDict[int, Path] = OrderedDict()
        self._remembered_bytes = 0
        self._reserved: dict[int, int] = {}

    def heard(self, event: EngineStarted | EngineLoadSampled) -> None:
        """How large the cache is; a new engine has an empty one."""
        if isinstance(event, EngineStarted):
            self.flushed()
        blocks = max(0, event.capacity_tokens) // BLOCK_TOKENS
        every = max(1, -(-blocks // MOST_BLOCKS))
        if every != self._every:
            self.flushed()
            self._paths.clear()
            self._remembered_bytes = 0
        self._every, self._capacity_blocks = every, blocks // every

    def flushed(self) -> None:
        self._held.clear()
        self._reserved.clear()

    def asked(self, event: PrefixMatched) -> tuple[int, int]:
        """A prompt is looked up: tokens of sampled blocks that LRU would have found and that were really found, both
        scaled up to all blocks. (0, 0) if some blocks of the prompt are unknown: it tells nothing."""
        path, keys = self._path(event)
        self._remember(event.rid, path)
        if not path.whole:
            return 0, 0
        found = 0
        for key in keys:
            if key not in self._held:
                break
            found += 1
        for key in reversed(keys[:found]):
            self._held.move_to_end(key)
        self._reserve(event.rid, len(keys) - found)
        scale = BLOCK_TOKENS * self._every
        return found * scale, _within(keys, event.cached_tokens) * scale

    def inserted(self, event: PrefixInserted) -> None:
        """Prompt or output of a request is in the cache."""
        tag = tag_of(event.rid)
        self._reserved.pop(tag, None)
        path = self._paths.get(tag)
        if path is None:
            return
        if event.output:
            output = self._sample(event.output, event.total_tokens - len(event.output) // 4)
            path = path._replace(own=path.own + output) if output else path
            self._remember(event.rid, path)
        self._inserts += 1
        held = self._held
        for key in reversed(_keys(path.blocks())):
            if key not in held:
                held[key] = self._inserts
            else:
                held.move_to_end(key)
        self._make_room()

    def _reserve(self, rid: str, blocks: int) -> None:
        """The engine makes room for what is missing of a prompt before it computes that."""
        self._reserved[tag_of(rid)] = blocks
        self._make_room()

    def _make_room(self) -> None:
        held = self._held
        room = self._capacity_blocks - sum(self._reserved.values())
        while held and len(held) > room:
            _, added_by = held.popitem(last=False)
            while self.whole_leaves and held and held[oldest := next(iter(held))] == added_by:
                del held[oldest]

    def _path(self, event: PrefixMatched) -> tuple[Path, Sequence[int]]:
        """The sampled blocks of a prompt, and all of them one by one; those it repeats of a request that is forgotten
        stay unknown."""
        own = self._sample(event.tail, event.base_tokens)
        base = self._paths.get(tag_of(event.base_rid)) if event.base_rid else None
        if base is None:
            return Path(None, 0, own, 0, event.base_tokens < BLOCK_TOKENS), _keys(own)
        blocks = base.blocks()
        known = _keys(blocks)
        kept = _within(known, event.base_tokens)
        keys = (*known[:kept], *_keys(own)) if own else known[:kept]
        if base.links < MAX_LINKS:
            return Path(base, kept, own, base.links + 1, base.whole), keys
        return Path(None, 0, blocks[: 4 * kept] + own, 0, base.whole), keys

    def _sample(self, hashes: bytes, begin: int) -> Blocks:
        """Of a run of prefix hashes, 4 bytes each, that begins at that depth."""
        first = begin // BLOCK_TOKENS + 1
        if begin + len(hashes) // 4 < first * BLOCK_TOKENS:
            return b""
        ends = memoryview(hashes).cast("I")[first * BLOCK_TOKENS - begin - 1 :: BLOCK_TOKENS].tolist()
        every = self._every
        blocks = [
            (number << 16 | end & 0xFFFF) & 0xFFFFFFFF
            for number, end in enumerate(ends, first)
            if every == 1 or ((end * _GOLDEN & 0xFFFFFFFF) >> 8) % every == 0
        ]
        return struct.pack(f"<{len(blocks)}I", *blocks)

    def _remember(self, rid: str, path: Path) -> None:
        tag, paths = tag_of(rid), self._paths
        before = paths.get(tag)
        paths[tag] = path
        if before is None:
            self._remembered_bytes += len(path.own)
        else:
            paths.move_to_end(tag)
            self._remembered_bytes += len(path.own) - len(before.own)
        while len(paths) > REMEMBERED or (self._remembered_bytes > 4 * MOST_REMEMBERED_BLOCKS and len(paths) > 1):
            forgotten, path = paths.popitem(last=False)
            self._remembered_bytes -= len(path.own)
            self._reserved.pop(forgotten, None)


def _keys(blocks: Blocks) -> Sequence[int]:
    return struct.unpack(f"<{len(blocks) // 4}I", blocks)


def _within(keys: Sequence[int], tokens: int) -> int:
    """How many of the blocks end within so many tokens."""
    return bisect_right(keys, (tokens // BLOCK_TOKENS << 16) + 0xFFFF)
