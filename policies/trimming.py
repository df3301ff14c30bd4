"""How much of a victim stays in the tree: leaves are whole prompts, and what is needed is often the end of one."""

from __future__ import annotations

LEAST_TOKENS = 64
"""No smaller piece is cut off, and none is left: a node each costs more than it is worth."""


def kept_tokens(tokens: int, needed_tokens: int, page_size: int) -> int:
    """How many leading tokens of a victim stay when so many are needed, in whole pages; 0: it goes whole."""
    kept = (tokens - max(needed_tokens, LEAST_TOKENS)) // page_size * page_size
    return kept if kept >= LEAST_TOKENS else 0
