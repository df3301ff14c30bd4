"""LRU page by page: what an order gains by giving up pages alone, whatever it knows of agents. Nothing published.

SGLang gives up whole leaves, a block cache such as vLLM's one block after the other. Policies that give up pages are
held against this too, so that nobody takes for foresight what is only finer cutting.
"""

from __future__ import annotations

from typing import ClassVar

from ..lru import Lru


class LruPages(Lru):
    """Every subject scores 0, and of the least recently used leaf the end goes first."""

    name: ClassVar[str] = "lru_pages"
    doc: ClassVar[str] = "LRU that gives up only the end of a leaf where that is room enough, rather than all of it."

    @property
    def trims_victims(self) -> bool:
        """As a block cache under LRU."""
        return True
