"""Cases for the policies that order what waits: sessions of very different lengths, and bursts of several agents."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec

from .agents import Agent, make_agents
from .policy_case import PolicyCase
from .policy_measures import HIT_RATE, REQUESTS_PER_S, SESSION_MEAN, SESSION_P50, TTFT_MEAN, TTFT_P99, Floor
from .prompts import material
from .spec import Turn, WorkloadSpec

OFFERED_PER_S = 8.0
"""Requests, if all were answered at once: more than a CPU answers two at a time, so that they queue. What is offered
must not depend on what is served: where a fixed number of callers wait for their answers, no order changes how long
sessions take on the mean."""
LONG_SHARE = 0.15
LONG_STEPS, SHORT_STEPS = (12, 18), (1, 3)
BURST_AGENTS, BURST = 3, 12
FEW_RUN = ("--max-running-requests", "2")
PRIORITIES = ("--enable-priority-scheduling", "--disable-priority-preemption")


def short_and_long(seed: int, requests: int) -> list[Turn]:
    """Sessions of a few agents: most are over after one to three steps, some take many; nobody says which."""
    rng = Random(f"short and long {seed}")
    agents = make_agents(WorkloadSpec(seed=seed, agents=4, anchor_tokens=(400, 600)))
    turns: list[Turn] = []
    while len(turns) < requests:
        steps = rng.randint(*(LONG_STEPS if rng.random() < LONG_SHARE else SHORT_STEPS))
        session = f"s{seed}-{len(turns)}"
        came_s = len(turns) / OFFERED_PER_S
        of_session = [_turn(rng, session, rng.choice(agents), 150, step == steps - 1) for step in range(steps)]
        turns += [msgspec.structs.replace(of_session[0], think_s=came_s), *of_session[1:]]
    return turns


def bursts(seed: int, requests: int) -> list[Turn]:
    """Tasks that fan out at once: in each burst a few of many agents are asked several times, in any order."""
    rng = Random(f"bursts {seed}")
    agents = make_agents(WorkloadSpec(seed=seed, agents=10, anchor_tokens=(700, 1000)))
    turns: list[Turn] = []
    while len(turns) < requests:
        asked = rng.sample(agents, BURST_AGENTS)
        turns += [_turn(rng, f"s{seed}-{len(turns) + n}", rng.choice(asked), 60, True) for n in range(BURST)]
    return turns


def _turn(rng: Random, session: str, agent: Agent, tokens: float, last: bool) -> Turn:
    messages = [{"role": "system", "content": agent.system}, {"role": "user", "content": material(rng, tokens)}]
    return Turn(session=session, agent=agent.name, messages=messages, tools=agent.tools, max_tokens=12, last=last)


_BY_SERVICE = PolicyCase(
    name="short and long",
    says="short tasks end sooner, at no cost of throughput",
    turns=short_and_long,
    requests=200,
    sessions=200,
    arrivals=True,
    kv_tokens=16_384,
    measures=(SESSION_MEAN, SESSION_P50, TTFT_MEAN, TTFT_P99, REQUESTS_PER_S),
    floors=(
        Floor(measure=SESSION_P50.name, most=-20.0),
        Floor(measure=SESSION_MEAN.name, most=0.0),
        Floor(measure=REQUESTS_PER_S.name, least=-5.0),
    ),
    tunables={"ahead": 2.0},
    sglang_args=FEW_RUN,
    holds=True,
)
CRITICAL_PATH = (
    _BY_SERVICE,
    replace(
        _BY_SERVICE,
        name="short and long, by SGLang",
        says="SGLang's own priority scheduling does the same",
        sglang_args=(*FEW_RUN, *PRIORITIES),
        tunables={"ahead": 64.0},
        holds=False,
    ),
)

_SHAPED = PolicyCase(
    name="bursts",
    says="anchors are computed less often, and everybody waits less",
    turns=bursts,
    requests=216,
    sessions=18,
    kv_tokens=5_000,
    measures=(HIT_RATE, TTFT_MEAN, TTFT_P99, REQUESTS_PER_S),
    floors=(
        Floor(measure=HIT_RATE.name, change="difference", least=5.0),
        Floor(measure=TTFT_MEAN.name, most=-5.0),
        Floor(measure=REQUESTS_PER_S.name, least=0.0),
    ),
    holds=True,
)
BATCH_SHAPING = (
    _SHAPED,
    replace(
        _SHAPED,
        name="bursts, SGLang's lpm",
        says="there is something left to do where SGLang itself goes by longest prefix match",
        sglang_args=("--schedule-policy", "lpm"),
    ),
)
