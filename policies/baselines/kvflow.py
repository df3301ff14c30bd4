"""KVFlow (arXiv 2507.07400): what is most steps from execution goes first, on a graph of agents.

Dynamic suffixes go before all fixed prompts. Among fixed prompts the one of the agent with most steps goes first, and a
prefix of several agents takes the fewest steps of any; with several workflows under way the nearest counts. Suffixes go
by the steps of their own session, which does better than recency alone (`rank_histories` 0). The paper is given each
workflow's graph; where none is given, it is learned from the dispatches of each session. It is built on SGLang's radix
tree and evicts "at the KV node level": whole leaves go, as SGLang's own do.
"""

from __future__ import annotations

from typing import ClassVar

from ..events import EngineEvent
from ..parameters import Tunable
from ..primitives import BasePolicy, Score, Subject
from ..tree.subjects import EVERYBODY
from .chain import Graph, Walks, hops


class KvFlow(BasePolicy):
    """Key: from 0 (too far, or never) to 1 (being executed) for histories, from 1 to 2 for what agents share."""

    name: ClassVar[str] = "kvflow"
    doc: ClassVar[str] = "KVFlow's order: histories before anchors, of each the one most steps from execution."
    slot: ClassVar[str] = "eviction"
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("edge_probability", 0.1, 0.0, 1.0, "", "Least share of an agent's steps that makes an edge"),
        Tunable("most_steps", 16.0, 1.0, 1000.0, "steps", "Steps from which on agents are equally far"),
        Tunable("rank_histories", 1.0, 0.0, 1.0, "", "Whether histories too go by steps, or by recency alone"),
    )

    def __init__(self, graph: Graph | None = None) -> None:
        """`graph`: each agent's successors, where the workflow is known."""
        super().__init__()
        self._given = graph
        self._walks = Walks(per_session=True, repeats=True)
        self._graph: Graph = {}
        self._steps: dict[str, dict[str, int]] = {}
        self._steps_for: tuple[float, float] = (-1, 0)

    @property
    def splits_anchors(self) -> bool:
        return True

    def observe(self, event: EngineEvent) -> None:
        self._walks.observe(event)

    def score(self, subject: Subject, now_s: float) -> Score:
        fixed = subject.role in ("anchor", "shared")
        if not fixed and not (subject.session and self.tunables["rank_histories"]):
            return Score(0.0)
        steps = self._steps_to_execution("" if fixed else subject.session)
        agents = steps if subject.agents == EVERYBODY else subject.agents
        most = self.tunables["most_steps"]
        nearest = min(most, *(steps.get(agent, most) for agent in agents), most)
        return Score(float(fixed) + 1.0 - nearest / most, {"steps": float(nearest)})

    def _steps_to_execution(self, session: str) -> dict[str, int]:
        """Steps to each agent's next execution in a session, '' for whichever is nearest; computed once per step."""
        least = self.tunables["edge_probability"]
        if self._steps_for != (self._walks.version, least):
            self._steps_for, self._steps = (self._walks.version, least), {}
            self._graph = self._given if self._given is not None else self._walks.chain.graph(0.0, least)
        if session not in self._steps:
            every = self._walks.places
            places = list(every.values()) if not session else [every[session]] if session in every else []
            running = [place.agent for place in places if place.running]
            waiting = [place.agent for place in places if not place.running]
            self._steps[session] = hops(self._graph, running, waiting)
        return self._steps[session]
