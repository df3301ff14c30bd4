"""Least recently used: SGLang's own order. The baseline, and what is left when nothing else is on."""

from __future__ import annotations

from typing import ClassVar

from .primitives import BasePolicy


class Lru(BasePolicy):
    """Every subject scores 0, so ties decide, and ties go by oldest use."""

    name: ClassVar[str] = "lru"
    doc: ClassVar[str] = "SGLang's own order: the least recently used leaf goes first."
    slot: ClassVar[str] = "eviction"
