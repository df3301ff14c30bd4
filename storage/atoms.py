"""Prompts without text: sequences of atoms, runs of tokens that never diverge within, and the prefix hashes they make.

Two prompts share exactly as many leading hashes as they share tokens of leading atoms, as the engine's sketches do.
"""

from __future__ import annotations

import hashlib

import numpy as np

from .trie import Hashes

Atom = tuple[str, int]
"""Name and length in tokens; equal atoms are equal text."""
Prompt = tuple[Atom, ...]

_NOTHING = np.empty(0, np.uint32)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))
_SHIFTS = (np.uint64(30), np.uint64(32))


def length(prompt: Prompt) -> int:
    """In tokens."""
    return sum(tokens for _, tokens in prompt)


def common(one: Prompt, other: Prompt) -> int:
    """How many leading atoms are the same."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


class PrefixHasher:
    """Hashes of prompts, a uint32 per token, the same in every process. What prompts have in common is hashed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Atom], tuple[int, Hashes]] = {}

    def hashes(self, prompt: Prompt) -> Hashes:
        state, parts = 0, [_NOTHING]
        for atom in prompt:
            known = self._known.get((state, atom))
            if known is None:
                known = self._known[state, atom] = _extend(state, atom)
            state, part = known
            parts.append(part)
        return np.concatenate(parts)


def _extend(state: int, atom: Atom) -> tuple[int, Hashes]:
    """The state after an atom, and its tokens' hashes, which depend on all that came before."""
    name, tokens = atom
    said = state.to_bytes(8, "little") + f"{tokens} {name}".encode()
    state = int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")
    words = (np.arange(1, tokens + 1, dtype=np.uint64) + np.uint64(state)) * _MIX[0]
    words = (words ^ (words >> _SHIFTS[0])) * _MIX[1]
    return state, (words >> _SHIFTS[1]).astype(np.uint32)
