"""Multi-agent workloads by seed: which agent asks what in which session, in one fixed order of requests.

Assistant turns in the histories are scripted, never the model's own answers, so that every cache policy and every
engine is asked exactly the same prompts in the same order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random

import msgspec

from .agents import Agent, for_one_session, make_agents, replaced
from .graphs import TOPOLOGIES, Walk
from .sessions import CastSession, Session
from .spec import (
    DEMO_KV_TOKENS,
    REPORT_SEEDS,
    TUNING_SEEDS,
    Message,
    Shift,
    Style,
    Topology,
    Turn,
    WorkloadError,
    WorkloadSpec,
    check,
)

__all__ = [
    "DEMO_KV_TOKENS", "REPORT_SEEDS", "TUNING_SEEDS", "Agent", "Message", "Shift", "Style", "Topology", "Turn",
    "WorkloadError", "WorkloadSpec", "generate", "make_agents",
]  # fmt: skip


def generate(spec: WorkloadSpec) -> list[Turn]:
    """The turns of a workload in the order they are issued; equal specs give equal turns.

    Raises WorkloadError if a setting makes no sense.
    """
    check(spec)
    over: set[str] = set()
    turns = list(_issue(spec, Random(f"order {spec.seed}"), over))
    final = {turn.session: place for place, turn in enumerate(turns)}
    for session in over:
        turns[final[session]] = msgspec.structs.replace(turns[final[session]], last=True)
    return turns


def _issue(spec: WorkloadSpec, rng: Random, over: set[str]) -> Iterator[Turn]:
    """Sessions take turns by a clock that counts requests, so the order does not depend on the machine's speed. The
    names of sessions that have ended are added to `over`."""
    opening = _Opening(spec)
    waiting: list[tuple[float, int]] = [(rng.uniform(0, spec.pause_requests), n) for n in range(spec.sessions)]
    heapq.heapify(waiting)
    live: dict[int, Session] = {}
    issued = 0
    while issued < spec.requests:
        ready, slot = heapq.heappop(waiting)
        session = live.get(slot)
        if session is None:
            session = live[slot] = opening.session(issued)
        agent = next(session.path, None)
        if agent is None:
            over.add(live.pop(slot).name)
            heapq.heappush(waiting, (ready, slot))
            continue
        yield session.turn(agent)
        issued += 1
        pause = rng.lognormvariate(0, 0.8) * spec.pause_requests * session.away
        heapq.heappush(waiting, (max(ready, issued) + pause, slot))


class _Opening:
    """Opens sessions, from the second half on with what `shift` says."""

    def __init__(self, spec: WorkloadSpec) -> None:
        self._spec = spec
        self._agents = make_agents(spec)
        self._later = replaced(spec, self._agents) if spec.shift == "roster" else self._agents
        self._walk = self._walk_of(spec.topology)
        self._later_walk = self._walk_of(_other(spec.topology)) if spec.shift == "topology" else self._walk
        self._opened = 0

    def _walk_of(self, topology: str) -> Walk:
        return TOPOLOGIES[topology](self._spec.agents, self._spec.seed)

    def session(self, issued: int) -> Session:
        spec, late = self._spec, 2 * issued >= self._spec.requests
        name = f"s{spec.seed}-{self._opened:03d}"
        self._opened += 1
        agents = for_one_session(spec, name) if spec.per_task else self._later if late else self._agents
        kind = CastSession if spec.cast else Session
        return kind(name, spec, agents, self._later_walk if late else self._walk)


def _other(topology: str) -> str:
    names = list(TOPOLOGIES)
    return names[(names.index(topology) + 1) % len(names)]
