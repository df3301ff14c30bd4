"""The agents of a workload and their anchors: general roles, a named workload's cast, or written for one session."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from .casts import CASTS, Role
from .prompts import PROSE_CHARS_PER_TOKEN, agent_names, named_tools, schema_tokens, system_prompt, tool_schemas
from .spec import WorkloadSpec
from .tasks import CODE_CHARS_PER_TOKEN, Kind, example
from .words import ROLES

SPREAD = 0.1
"""How far the anchors of a cast lie from their roles' lengths, as a share."""


class Agent(msgspec.Struct, frozen=True):
    """An agent and its anchor: what every request of it starts with. `role`: of a cast."""

    name: str
    system: str
    tools: list[dict[str, Any]]
    role: Role | None = None


def make_agents(spec: WorkloadSpec, variant: str = "") -> list[Agent]:
    """The agents of a workload; another `variant` has the same names and other prompts."""
    rng = Random(f"agents {spec.seed}{variant}")
    if spec.cast:
        return _from_cast(spec, rng)
    return _general(spec, agent_names(spec.agents), rng)


def replaced(spec: WorkloadSpec, agents: list[Agent]) -> list[Agent]:
    """The same roster with every second agent replaced by a newcomer of its own name and prompt."""
    newcomers = make_agents(spec, " newcomers")
    return [
        msgspec.structs.replace(newcomers[n], name=f"new_{agent.name}") if n % 2 else agent
        for n, agent in enumerate(agents)
    ]


def for_one_session(spec: WorkloadSpec, session: str) -> list[Agent]:
    """Agents with prompts of their own; names recur from one session to another, as in rosters made per task."""
    if spec.cast or spec.agents > len(ROLES):
        return make_agents(spec, f" {session}")
    rng = Random(f"agents {spec.seed} {session}")
    return _general(spec, rng.sample([name for name, _ in ROLES], spec.agents), rng)


def _general(spec: WorkloadSpec, names: list[str], rng: Random) -> list[Agent]:
    """Anchor lengths spread evenly over the bounds, in seeded order."""
    low, high = spec.anchor_tokens
    sizes = [low + (high - low) * (n + 0.5) / len(names) for n in range(len(names))]
    rng.shuffle(sizes)
    return [_agent(rng, name, size) for name, size in zip(names, sizes, strict=True)]


def _agent(rng: Random, name: str, tokens: float) -> Agent:
    tools = tool_schemas(rng, 2 if tokens < 800 else 4)
    prose = max(60.0, tokens - schema_tokens(tools))
    return Agent(name, system_prompt(rng, name, prose), tools)


def _from_cast(spec: WorkloadSpec, rng: Random) -> list[Agent]:
    cast = CASTS[spec.cast]
    agents: list[Agent] = []
    for number in range(spec.agents):
        role = cast.roles[number % len(cast.roles)]
        copy = number // len(cast.roles)
        agents.append(_player(rng, role, cast.kind, f"{role.name}-{copy + 1}" if copy else role.name))
    return agents


def _player(rng: Random, role: Role, kind: Kind, name: str) -> Agent:
    tools = named_tools(role.tools)
    examples = "".join(f"\n\nExample {n + 1}\n{example(rng, kind)}" for n in range(role.examples))
    wanted = role.anchor_tokens * rng.uniform(1 - SPREAD, 1 + SPREAD)
    per_token = CODE_CHARS_PER_TOKEN if kind == "function" else PROSE_CHARS_PER_TOKEN
    prose = max(60.0, wanted - schema_tokens(tools) - len(examples) / per_token)
    return Agent(name, system_prompt(rng, role.name, prose, role.mission) + examples, tools, role)
