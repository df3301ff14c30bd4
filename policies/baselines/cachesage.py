"""CacheSage (arXiv 2605.27744) by its authors' code: vLLM branch ruizhang0101/vllm-cachesage, v1/core/block_pool.py,
policy "predictive".

`score = 4 * P(agent fires within 3 steps) + exp(-0.1 * age)`. Age counts touches of blocks of 16 tokens, so recency is
gone within a request or two. One agent is current, whatever the session; an agent that follows itself is no step. A
block belongs to the agent whose request cached it. The branch only sorts the blocks that a request frees by this score
and queues them behind all others; here the score is what it is described as, the order of eviction.
"""

from __future__ import annotations

import math
from typing import ClassVar

from ..events import EngineEvent
from ..parameters import Tunable
from ..primitives import BasePolicy, Score, Subject
from .chain import Walks, within
from .nodes import Nodes

BLOCK_TOKENS = 16


class CacheSage(BasePolicy):
    """Survival of the node's agent from the one current agent, plus recency."""

    name: ClassVar[str] = "cachesage"
    doc: ClassVar[str] = "CacheSage's published score: whose agent is due within 3 steps of the latest one stays."
    slot: ClassVar[str] = "eviction"
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("weight", 4.0, 0.0, 100.0, "", "Weight of the probability against recency, which is at most 1"),
        Tunable("horizon_steps", 3.0, 1.0, 20.0, "steps", "Steps within which the agent is to fire"),
        Tunable("decay", 0.1, 0.0, 10.0, "1/touch", "Decay of recency per touched block of 16 tokens"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._nodes = Nodes()
        self._walks = Walks(per_session=False, repeats=False)
        self._fires: dict[str, float] = {}
        self._fires_for: tuple[int, int] = (-1, 0)

    @property
    def trims_victims(self) -> bool:
        """Its source is a block cache and evicts one block of 16 tokens after the other, never a whole leaf."""
        return True

    def observe(self, event: EngineEvent) -> None:
        self._nodes.observe(event)
        self._walks.observe(event)

    def score(self, subject: Subject, now_s: float) -> Score:
        node = self._nodes.next_to_go(subject)
        if node is None:
            return Score(0.0)
        fires = self._firing().get(node.added_by, 0.0)
        age = (self._nodes.touched_tokens - node.touched_tokens) / BLOCK_TOKENS
        recency = math.exp(-self.tunables["decay"] * age)
        return Score(self.tunables["weight"] * fires + recency, {"p_fires": fires, "recency": recency})

    def _firing(self) -> dict[str, float]:
        """Probability of each agent to fire in time, computed once per dispatch."""
        steps = int(self.tunables["horizon_steps"])
        if self._fires_for != (self._walks.version, steps):
            self._fires_for = (self._walks.version, steps)
            current = next(iter(self._walks.standing()), "")
            self._fires = within(self._walks.chain, current, steps)
        return self._fires
