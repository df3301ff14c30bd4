"""CacheScout (arXiv 2608.14624): survival by hops on the graph of likely transitions, Eq. 3 and 7 to 9, Algorithm 1.

`Score(b) = (p(a) + delta) * (exp(-lambda * age) + delta) * |b|`, `p(a) = 1 - min(E[a], E_max) / E_max`, E[a] the hops
to agent a over edges of probability tau or more. None of the constants is published; the defaults are those tuned by
the replication MostafaaElhadidy/Agentic-KV-Cache-Management. A block belongs to the agent that touched it last. Age is
in scheduler steps there and in dispatches here, the only steps a policy sees. All blocks have one size |b| there, which
orders nothing; nodes of a tree differ, so the score here is that of one token. Warm-ups (Eq. 10 and 11) are left out:
these are orders of eviction.
"""

from __future__ import annotations

import math
from typing import ClassVar

from ..events import EngineEvent
from ..parameters import Tunable
from ..primitives import BasePolicy, Score, Subject
from .chain import Walks, hops
from .nodes import Node, Nodes


class CacheScout(BasePolicy):
    """Algorithm 1 to the letter: one current agent, whatever the session."""

    name: ClassVar[str] = "cachescout"
    doc: ClassVar[str] = "CacheScout's Eq. 9: what is few hops from the latest agent and recent stays."
    slot: ClassVar[str] = "eviction"
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("smoothing", 0.01, 0.0, 10.0, "", "Added to each count of a transition (epsilon)"),
        Tunable("edge_probability", 0.1, 0.0, 1.0, "", "Least probability of an edge (tau)"),
        Tunable("most_hops", 6.0, 1.0, 100.0, "hops", "Hops at which survival is 0 (E_max)"),
        Tunable("decay", 0.005, 0.0, 10.0, "1/dispatch", "Decay of recency (lambda)"),
        Tunable("floor", 0.01, 0.0, 1.0, "", "Keeps both factors positive (delta)"),
    )
    per_session: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._nodes = Nodes()
        self._walks = Walks(per_session=self.per_session, repeats=False)
        self._survival: dict[str, float] = {}
        self._survival_for: tuple[float, ...] = ()

    @property
    def trims_victims(self) -> bool:
        """Its source evicts one block after the other, never a whole leaf: Eq. 9 is the score of a block."""
        return True

    def observe(self, event: EngineEvent) -> None:
        self._nodes.observe(event)
        self._walks.observe(event)

    def score(self, subject: Subject, now_s: float) -> Score:
        node = self._nodes.next_to_go(subject)
        if node is None:
            return Score(0.0)
        survival = self._of_node(node, subject)
        age = self._nodes.dispatches - node.dispatch
        recency = math.exp(-self.tunables["decay"] * age)
        floor = self.tunables["floor"]
        key = (survival + floor) * (recency + floor)
        return Score(key, {"p_survival": survival, "recency": recency})

    def _of_node(self, node: Node, subject: Subject) -> float:
        return self._survivals().get(node.used_by, 0.0)

    def _survivals(self) -> dict[str, float]:
        """Eq. 8 for each agent, averaged over the sessions (one here), computed once per dispatch."""
        tunables = self.tunables
        smoothing, least, most_hops = tunables["smoothing"], tunables["edge_probability"], tunables["most_hops"]
        made_for = (self._walks.version, smoothing, least, most_hops)
        if self._survival_for != made_for:
            self._survival_for, self._survival = made_for, {}
            graph = self._walks.chain.graph(smoothing, least)
            standing = self._walks.standing()
            for current, sessions in standing.items():
                for agent, steps in hops(graph, [current]).items():
                    survival = (1.0 - min(steps, most_hops) / most_hops) * sessions / standing.total()
                    self._survival[agent] = self._survival.get(agent, 0.0) + survival
        return self._survival


class CacheScoutSessions(CacheScout):
    """A current agent for each session, survival averaged over the live ones; only what agents share survives, a
    history has survival 0. A shared prefix takes the best of its agents."""

    name: ClassVar[str] = "cachescout_sessions"
    doc: ClassVar[str] = "CacheScout's Eq. 9 with a current agent per session and survival for anchors only."
    per_session: ClassVar[bool] = True

    @property
    def splits_anchors(self) -> bool:
        return True

    def _of_node(self, node: Node, subject: Subject) -> float:
        if subject.role not in ("anchor", "shared"):
            return 0.0
        survivals = self._survivals()
        return max((survivals.get(agent, 0.0) for agent in node.agents), default=0.0)
