"""SGLang's own orders by hit count, LFU and SLRU (sglang 0.5.21, mem_cache/evict_policy.py).

A count rises when a request's path is inserted: after its prefill and again when it finishes. So a prompt has 2 hits
as soon as its first request is done, and SLRU's threshold of 2 protects it.
"""

from __future__ import annotations

from typing import ClassVar

from ..events import EngineEvent
from ..parameters import Tunable
from ..primitives import BasePolicy, Score, Subject
from .nodes import Nodes


class Lfu(BasePolicy):
    """Key: the hit count."""

    name: ClassVar[str] = "lfu"
    doc: ClassVar[str] = "SGLang's LFU: what was hit least often goes first."
    slot: ClassVar[str] = "eviction"
    scores_nodes: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._nodes = Nodes()

    def observe(self, event: EngineEvent) -> None:
        self._nodes.observe(event)

    def score(self, subject: Subject, now_s: float) -> Score:
        node = self._nodes.next_to_go(subject)
        hits = float(node.hits) if node is not None else 0.0
        return Score(self._key(hits), {"hits": hits})

    def _key(self, hits: float) -> float:
        return hits


class Slru(Lfu):
    """Key: 1 in the protected segment, 0 on probation; both in order of recency."""

    name: ClassVar[str] = "slru"
    doc: ClassVar[str] = "SGLang's SLRU: what was hit fewer than twice goes first, by recency."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("protected_hits", 2.0, 1.0, 1000.0, "hits", "Hits from which a node is in the protected segment"),
    )

    def _key(self, hits: float) -> float:
        return float(hits >= self.tunables["protected_hits"])
