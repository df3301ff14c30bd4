"""How much of a victim stays in the tree: leaves are whole prompts, and what is needed is often the end of one."""

from __future__ import annotations

LEAST_TOKENS = 64
"""No smaller piece is cut off, and none is left: a node each costs more than it is worth."""
LEAST_SHARE = 1 / 8
"""Of a long victim goes at least so much. A decoding engine asks for a few tokens at a time; to choose anew for each
piece of LEAST_TOKENS costs three times as much (daemon/engine/bench_trim.py) for 0.1 points of hit rate at most."""


def kept_tokens(tokens: int, needed_tokens: int, page_size: int) -> int:
    """How many leading tokens of a victim stay when so many are needed, in whole pages; 0: it goes whole."""
    cut = max(needed_tokens, LEAST_TOKENS, int(tokens * LEAST_SHARE))
    kept = (tokens - cut) // page_size * page_size
    return kept if kept >= LEAST_TOKENS else 0
