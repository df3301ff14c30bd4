"""Shared prefixes before histories, and nothing else: the plain idea that learned policies have to beat.

It is the first half of KVFlow (arXiv 2507.07400), dynamic suffixes before fixed prompts, without its graph. What is
shared is what the ownership rules call an anchor or a shared prefix.
"""

from __future__ import annotations

from typing import ClassVar

from ..primitives import BasePolicy, Score, Subject


class ProtectShared(BasePolicy):
    """Key: 1 for anchors and shared prefixes, else 0; both in order of recency."""

    name: ClassVar[str] = "protect_shared"
    doc: ClassVar[str] = "Histories go before anchors and shared prefixes, each by recency."
    slot: ClassVar[str] = "eviction"

    @property
    def splits_anchors(self) -> bool:
        return True

    def score(self, subject: Subject, now_s: float) -> Score:
        shared = float(subject.role in ("anchor", "shared"))
        return Score(shared, {"shared": shared})
