"""Agent-aware eviction."""

from __future__ import annotations

from typing import ClassVar

from .primitives import BasePolicy, Score, Subject


class KvCaching(BasePolicy):
    """What sessions share stays longer than one session's history."""

    name: ClassVar[str] = "kv_caching"
    doc: ClassVar[str] = "Keeps what is expected to be used next; anchors and shared prefixes before histories."
    slot: ClassVar[str] = "eviction"
    splits_anchors: ClassVar[bool] = True

    def score(self, subject: Subject, now_s: float) -> Score:
        shared = float(subject.role in ("anchor", "shared"))
        return Score(shared, {"shared": shared})
