"""Prompts as prefix hashes: 4 bytes per token, equal up to exactly the first token where two prompts differ.

The key is random per process and never leaves it, so the hashes cannot be turned back into text by guessing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint32]
Words = NDArray[np.uint64]

REMEMBERED = 64
"""How many recent requests' hashes are kept to express the next prompt against."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_HIGH_HALF = np.uint64(32)


NO_HASHES: Hashes = np.zeros(0, dtype="<u4")


class Sketch(msgspec.Struct, frozen=True):
    """A prompt's hashes, one per token, and the running sum at its end."""

    hashes: Hashes
    total: np.uint64


def _scramble(words: Words) -> Words:
    """A bijection of 64-bit words in which every output bit depends on every input bit."""
    words = (words ^ (words >> _SHIFTS[0])) * _MIX[0]
    words = (words ^ (words >> _SHIFTS[1])) * _MIX[1]
    return words ^ (words >> _SHIFTS[2])


class Sketcher:
    """Keyed rolling prefix hash: the running sum of scrambled tokens times powers of an odd number, modulo 2**64,
    scrambled again and cut to 32 bits."""

    def __init__(self, key: bytes | None = None) -> None:
        """`key`: 16 bytes, random if not given."""
        key = key if key is not None else secrets.token_bytes(16)
        self._secret = key
        self._token_key = np.uint64(int.from_bytes(key[:8], "little"))
        self._base = np.uint64(int.from_bytes(key[8:16], "little") | 1)
        self._powers: Words = np.ones(1, dtype=np.uint64)

    def sketch(self, tokens: Sequence[int], namespace: str = "") -> Sketch:
        """One hash per token; `namespace` separates prompts that never share cache (salt, adapter)."""
        return self.extended(Sketch(NO_HASHES, self._offset(namespace)), tokens)

    def extended(self, sketch: Sketch, tokens: Sequence[int]) -> Sketch:
        """The sketch of a longer prompt, at the cost of its new tokens only."""
        if not len(tokens):
            return sketch
        start = len(sketch.hashes)
        ids = np.asarray(tokens, dtype=np.int64).astype(np.uint64)
        words = _scramble((ids + _GOLDEN) ^ self._token_key) * self._powers_to(start + len(ids))[start:]
        sums = np.cumsum(words, dtype=np.uint64) + sketch.total
        hashes = (_scramble(sums) >> _HIGH_HALF).astype("<u4")
        return Sketch(np.concatenate([sketch.hashes, hashes]) if start else hashes, sums[-1])

    def _powers_to(self, count: int) -> Words:
        if len(self._powers) < count:
            size = max(count, 2 * len(self._powers))
            factors = np.full(size, self._base, dtype=np.uint64)
            factors[0] = 1
            self._powers = np.cumprod(factors, dtype=np.uint64)
        return self._powers[:count]

    def _offset(self, namespace: str) -> np.uint64:
        if not namespace:
            return np.uint64(0)
        digest = hashlib.blake2b(namespace.encode(), digest_size=8, key=self._secret).digest()
        return np.uint64(int.from_bytes(digest, "little"))


def shared_tokens(left: Hashes, right: Hashes, at_least: int = 0) -> int:
    """How many leading values agree. Prefix hashes that agree at one place agree before it, so bisection is enough.
    `at_least`: only a longer agreement is of interest; a shorter one may be reported as 0."""
    end = min(len(left), len(right))
    if end <= at_least or left[at_least] != right[at_least]:
        return 0
    low, high = at_least + 1, end
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[middle - 1] == right[middle - 1] else (low, middle - 1)
    return low


class Base(msgspec.Struct, frozen=True):
    """An earlier request and how many leading tokens a prompt has in common with it."""

    rid: str = ""
    tokens: int = 0


class Recent:
    """The hashes of the last requests, prompt and output, by request id."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._kept: OrderedDict[str, tuple[str, str, Hashes]] = OrderedDict()

    def best(self, prompt: Hashes, agent: str) -> Base:
        """The request with the longest common prefix: of the same agent's if there is any, else of all."""
        mine = self._best(prompt, agent)
        return mine if mine.tokens else self._best(prompt, None)

    def _best(self, prompt: Hashes, agent: str | None) -> Base:
        best = Base()
        for rid, (other, _, kept) in reversed(self._kept.items()):
            if agent is None or other == agent:
                tokens = shared_tokens(prompt, kept, best.tokens)
                best = Base(rid, tokens) if tokens > best.tokens else best
        return best

    def shared_with_other_sessions(self, prompt: Hashes, agent: str, session: str) -> int | None:
        """Tokens that the prompt shares with the latest request of the same agent in another session, None if there is
        none."""
        for other_agent, other_session, kept in reversed(self._kept.values()):
            if other_agent == agent and other_session != session:
                return shared_tokens(prompt, kept)
        return None

    def keep(self, rid: str, agent: str, session: str, hashes: Hashes) -> None:
        self._kept.pop(rid, None)
        self._kept[rid] = (agent, session, hashes)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
