"""Prompts of eight blocks that are told as the engine tells them, for the guard and its shadow."""

from __future__ import annotations

from typing import Any

import numpy as np

from radixdeck.policies.events import EngineStarted, PrefixInserted, PrefixMatched
from radixdeck.policies.reuse.shadow import BLOCK_TOKENS

PROMPT_TOKENS = 8 * BLOCK_TOKENS


def hashes(path: int, begin: int, end: int) -> bytes:
    """Prefix hashes of a path that shares nothing with others."""
    return np.random.default_rng(path).integers(0, 2**32, end, np.uint32)[begin:].tobytes()


def started(capacity_tokens: int) -> EngineStarted:
    return EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=capacity_tokens, page_size=1, policy="x")


def matched(number: int, path: int, cached: int = 0, **more: Any) -> PrefixMatched:
    tail = hashes(path, more.get("base_tokens", 0), more.get("prompt_tokens", PROMPT_TOKENS))
    return PrefixMatched(
        t_ns=number * 10**9, rid=f"r{number}", agent="coder", session=f"s{path}", cached_tokens=cached, tail=tail,
        **{"prompt_tokens": PROMPT_TOKENS, **more})  # fmt: skip


def inserted(number: int, **more: Any) -> PrefixInserted:
    return PrefixInserted(
        t_ns=number * 10**9, rid=f"r{number}", phase="prompt", total_tokens=PROMPT_TOKENS, new_tokens=0, **more
    )
