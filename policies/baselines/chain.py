"""The published predictors' model of execution: how often one agent followed another, and where each session stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..events import AnswerGiven, EngineEvent, EngineStarted, PrefixInserted, PrefixMatched, SessionEnded

MAX_AGENTS = 256
MAX_SESSIONS = 256
OUTSTANDING = 512

Row = Mapping[str, float]
Graph = Mapping[str, Iterable[str]]


class Chain:
    """First-order counts `C[i][j]`: agent j came after agent i. The agent seen longest ago makes room for a new one."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}

    def meet(self, agent: str) -> None:
        self.counts[agent] = self.counts.pop(agent, {})
        if len(self.counts) > MAX_AGENTS:
            gone = next(iter(self.counts))
            del self.counts[gone]
            for row in self.counts.values():
                row.pop(gone, None)

    def moved(self, before: str, after: str) -> None:
        if before in self.counts and after in self.counts:
            row = self.counts[before]
            row[after] = row.get(after, 0) + 1

    def row(self, agent: str, smoothing: float = 0.0) -> Row:
        """`P[i][j] = (C[i][j] + smoothing) / sum_k (C[i][k] + smoothing)`, k over all agents; empty if nothing is
        known and nothing is smoothed."""
        counts = self.counts.get(agent, {})
        total = sum(counts.values()) + smoothing * len(self.counts)
        if not total:
            return {}
        if not smoothing:
            return {after: count / total for after, count in counts.items()}
        return {after: (counts.get(after, 0) + smoothing) / total for after in self.counts}

    def graph(self, smoothing: float, least: float) -> dict[str, list[str]]:
        """Edges of at least that probability."""
        return {
            agent: [after for after, probability in self.row(agent, smoothing).items() if probability >= least]
            for agent in self.counts
        }


def hops(graph: Graph, here: Iterable[str], leaving: Iterable[str] = ()) -> dict[str, int]:
    """Fewest edges to each agent that can be reached, from any of those that are `here` (0 away) or that were just
    left (whose successors are 1 away)."""
    found = dict.fromkeys(here, 0)
    front = [*found, *leaving]
    steps = 0
    while front:
        steps += 1
        front = list(dict.fromkeys(after for agent in front for after in graph.get(agent, ()) if after not in found))
        found |= dict.fromkeys(front, steps)
    return found


def within(chain: Chain, start: str, steps: int) -> dict[str, float]:
    """Probability of each agent to come at least once in that many steps from `start`."""
    places = {agent: place for place, agent in enumerate(chain.counts)}
    step = np.zeros((len(places), len(places)))
    for agent, place in places.items():
        for after, probability in chain.row(agent).items():
            step[place, places[after]] = probability
    comes = step
    for _ in range(steps - 1):
        comes = step + step @ comes - step * np.diag(comes)
    return {agent: float(comes[places[start], place]) for agent, place in places.items()} if start in places else {}


@dataclass(slots=True)
class Place:
    """Where a session stands: the agent dispatched last, and how many of its requests run."""

    agent: str
    running: int = 0


class Walks:
    """Follows sessions from agent to agent and counts in `chain`. `per_session` false: all traffic is one session, as
    where a system keeps one current agent. `repeats`: whether an agent that follows itself counts as a step.
    `version` changes when anything here does."""

    def __init__(self, *, per_session: bool, repeats: bool) -> None:
        self.chain = Chain()
        self.places: dict[str, Place] = {}
        self.version = 0
        self._per_session, self._repeats = per_session, repeats
        self._running: dict[str, str] = {}

    def observe(self, event: EngineEvent) -> None:
        match event:
            case PrefixMatched(warm=False) if event.agent:
                self._dispatched(event)
            case PrefixInserted(phase="finish") | AnswerGiven(finish="abort" | "error") if event.rid in self._running:
                place = self.places.get(self._running.pop(event.rid))
                if place is not None:
                    place.running = max(0, place.running - 1)
            case SessionEnded() if self._per_session:
                self.places.pop(event.session, None)
            case EngineStarted():
                self.places.clear()
                self._running.clear()
            case _:
                return
        self.version += 1

    def _dispatched(self, event: PrefixMatched) -> None:
        name = (event.session or event.rid) if self._per_session else ""
        self.chain.meet(event.agent)
        place = self.places.pop(name, None)
        if place is not None and (self._repeats or place.agent != event.agent):
            self.chain.moved(place.agent, event.agent)
        running = place.running if place is not None else 0
        self.places[name] = Place(event.agent, running + 1)
        if len(self.places) > MAX_SESSIONS:
            del self.places[next(iter(self.places))]
        self._running[event.rid] = name
        if len(self._running) > OUTSTANDING:
            del self._running[next(iter(self._running))]

    def standing(self) -> Counter[str]:
        """How many sessions stand at each agent, running or idle."""
        return Counter(place.agent for place in self.places.values())
