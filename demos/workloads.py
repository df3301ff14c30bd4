"""Multi-agent workloads by seed: which agent asks what in which session, in one fixed order of requests.

Assistant turns in the histories are scripted, never the model's own answers, so that every cache policy and every
engine is asked exactly the same prompts in the same order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import Any, Literal

import msgspec

from .graphs import TOPOLOGIES, Walk
from .prompts import agent_names, ask, material, remark, schema_tokens, system_prompt, tool_schemas

Message = dict[str, Any]
Style = Literal["private", "supervisor"]
Topology = Literal["pipeline", "debate", "selector", "random", "mixture"]

TUNING_SEEDS = (11, 12, 13)
"""Workloads were shaped (sizes, KV memory) by Belady's bound and LRU on these seeds only."""
REPORT_SEEDS = (101, 102, 103)
"""Results are reported on these seeds."""
DEMO_KV_TOKENS = 7_500
"""KV pool for the default workload: a little more than all anchors, far less than the working set (about 120,000).
On the tuning seeds LRU reaches about 28 % there and Belady's bound about 55 %."""


class WorkloadError(ValueError):
    """A workload cannot be made as asked, or a log cannot be read. The message names the setting, or file and field."""


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. Turns of a list are issued in its order; a turn waits for the one before it in its session.

    `think_s`: pause between that answer and this request. `agent`, `session`: '' leaves identity to be inferred.
    """

    session: str
    agent: str
    messages: list[Message]
    tools: list[dict[str, Any]] = []
    max_tokens: int = 8
    think_s: float = 0.0
    stream: bool = True


class WorkloadSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to generate; the defaults are the demo's. Pairs are inclusive bounds, in tokens, drawn evenly.

    Anchors (system prompt and tools) of 500 to 1,500 tokens and the 34-62 % of all prompt tokens that they make up are
    what the study of agent traffic in arXiv 2605.27744 reports. `style`: `private`, each agent keeps its own history;
    `supervisor`, each agent sees the whole transcript. `sessions`: live at once; a finished one is replaced.
    `pause_requests`: median number of other requests served before a session comes back, log-normally distributed.
    """

    seed: int = REPORT_SEEDS[0]
    requests: int = 200
    agents: int = 6
    sessions: int = 3
    topology: Topology = "debate"
    style: Style = "private"
    anchor_tokens: tuple[int, int] = (500, 1500)
    task_tokens: tuple[int, int] = (40, 120)
    remark_tokens: tuple[int, int] = (30, 90)
    material_tokens: tuple[int, int] = (200, 500)
    pause_requests: float = 2.0
    think_s: tuple[float, float] = (0.02, 0.2)
    max_tokens: int = 8


class Agent(msgspec.Struct, frozen=True):
    """An agent and its anchor: what every request of it starts with."""

    name: str
    system: str
    tools: list[dict[str, Any]]


def make_agents(spec: WorkloadSpec) -> list[Agent]:
    """The agents of a workload: anchor lengths spread evenly over the bounds, in seeded order."""
    rng = Random(f"agents {spec.seed}")
    names = agent_names(spec.agents)
    low, high = spec.anchor_tokens
    sizes = [low + (high - low) * (n + 0.5) / len(names) for n in range(len(names))]
    rng.shuffle(sizes)
    return [_agent(rng, name, size) for name, size in zip(names, sizes, strict=True)]


def _agent(rng: Random, name: str, tokens: float) -> Agent:
    tools = tool_schemas(rng, 2 if tokens < 800 else 4)
    prose = max(60.0, tokens - schema_tokens(tools))
    return Agent(name, system_prompt(rng, name, prose), tools)


class _Session:
    """One session under way: its walk, its transcript, and every agent's own history."""

    def __init__(self, name: str, spec: WorkloadSpec, agents: list[Agent], walk: Walk) -> None:
        self.rng = Random(f"{spec.seed} {name}")
        self.name, self.spec, self.agents = name, spec, agents
        self.path = walk(self.rng)
        self.task = ask(self.rng) + " " + remark(self.rng, self._draw(spec.task_tokens))
        self.said: list[tuple[str, str]] = []
        self.own: dict[str, list[Message]] = {}

    def turn(self, number: int) -> Turn:
        """The request of agent `number` now; its scripted answer joins the histories."""
        agent = self.agents[number]
        found = f"What came back:\n{material(self.rng, self._draw(self.spec.material_tokens))}"
        history = self._private(agent.name, found) if self.spec.style == "private" else self._transcript(agent.name)
        answer = remark(self.rng, self._draw(self.spec.remark_tokens))
        self.own[agent.name] = [*history, {"role": "assistant", "content": answer}]
        self.said.append((agent.name, answer if self.spec.style == "private" else f"{answer}\n{found}"))
        return Turn(
            session=self.name,
            agent=agent.name,
            messages=[{"role": "system", "content": agent.system}, *history],
            tools=agent.tools,
            max_tokens=self.spec.max_tokens,
            think_s=round(self.rng.uniform(*self.spec.think_s), 3),
        )

    def _private(self, agent: str, found: str) -> list[Message]:
        """The agent's own turns so far, and what the agent before it hands over."""
        handed = "{} says: {}".format(*self.said[-1]) if self.said else ""
        opening = [] if agent in self.own else [self.task]
        news = "\n\n".join(part for part in (*opening, handed, found) if part)
        return [*self.own.get(agent, []), {"role": "user", "content": news}]

    def _transcript(self, agent: str) -> list[Message]:
        """The task and everything anybody said, the agent's own words as its own."""
        history: list[Message] = [{"role": "user", "content": self.task}]
        for speaker, text in self.said:
            role = "assistant" if speaker == agent else "user"
            history.append({"role": role, "content": f"[{speaker}] {text}"})
        return history

    def _draw(self, bounds: tuple[int, int]) -> float:
        return self.rng.uniform(*bounds)


def generate(spec: WorkloadSpec) -> list[Turn]:
    """The turns of a workload in the order they are issued; equal specs give equal turns.

    Raises WorkloadError if a setting makes no sense.
    """
    _check(spec)
    return list(_issue(spec, Random(f"order {spec.seed}")))


def _issue(spec: WorkloadSpec, rng: Random) -> Iterator[Turn]:
    """Sessions take turns by a clock that counts requests, so the order does not depend on the machine's speed."""
    agents, walk = make_agents(spec), TOPOLOGIES[spec.topology](spec.agents, spec.seed)
    waiting: list[tuple[float, int]] = [(rng.uniform(0, spec.pause_requests), n) for n in range(spec.sessions)]
    heapq.heapify(waiting)
    live: dict[int, _Session] = {}
    opened = issued = 0
    while issued < spec.requests:
        ready, slot = heapq.heappop(waiting)
        session = live.get(slot)
        if session is None:
            session = live[slot] = _Session(f"s{spec.seed}-{opened:03d}", spec, agents, walk)
            opened += 1
        agent = next(session.path, None)
        if agent is None:
            del live[slot]
            heapq.heappush(waiting, (ready, slot))
            continue
        yield session.turn(agent)
        issued += 1
        heapq.heappush(waiting, (max(ready, issued) + rng.lognormvariate(0, 0.8) * spec.pause_requests, slot))


def _check(spec: WorkloadSpec) -> None:
    if spec.topology not in TOPOLOGIES:
        raise WorkloadError(f"topology: no {spec.topology!r}; known: {', '.join(TOPOLOGIES)}")
    for name in ("requests", "sessions", "max_tokens", "pause_requests"):
        if getattr(spec, name) <= 0:
            raise WorkloadError(f"{name}: {getattr(spec, name)} is not positive")
    for name in ("anchor_tokens", "task_tokens", "remark_tokens", "material_tokens", "think_s"):
        low, high = getattr(spec, name)
        if not 0 <= low <= high:
            raise WorkloadError(f"{name}: {low} to {high} is not a range")
    try:
        agent_names(spec.agents)
    except ValueError as error:
        raise WorkloadError(str(error)) from error
