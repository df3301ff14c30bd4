"""Cases for the policies that order what waits: sessions of very different lengths, and bursts of several agents."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec

from .agents import Agent, make_agents
from .policy_case import PolicyCase
from .policy_measures import HIT_RATE, REQUESTS_PER_S, SESSION_MEAN, TTFT_MEAN, TTFT_P99, Floor
from .prompts import material
from .spec import Turn, WorkloadSpec

GAP_S = 1.0
"""Between the beginnings of sessions: a little less than a CPU that runs two requests at once takes for one, so that
they queue. What is offered must not depend on what is served: where a fixed number of callers wait for their answers,
no order changes how long sessions take on the mean."""
DEEP_SHARE = 0.25
QUICK, DEEP = "quick", "deep"
STEPS = {QUICK: (1, 2), DEEP: (6, 10)}
TOKENS = {QUICK: 60, DEEP: 1_200}
"""That each step adds to its agent's anchor."""
BURST_AGENTS, BURST = 3, 12
FEW_RUN = ("--max-running-requests", "2")
PRIORITIES = ("--enable-priority-scheduling", "--disable-priority-preemption")


def short_and_long(seed: int, requests: int) -> list[Turn]:
    """Most sessions are a quick question or two, some are deep: many steps, each with much to read. They come at times
    of their own, and nobody says which is which."""
    rng = Random(f"short and long {seed}")
    agents = make_agents(WorkloadSpec(seed=seed, agents=4, anchor_tokens=(400, 600)))
    turns: list[Turn] = []
    number = 0
    while len(turns) < requests:
        kind = DEEP if rng.random() < DEEP_SHARE else QUICK
        steps = rng.randint(*STEPS[kind])
        for step in range(steps):
            agent = rng.choice(agents)
            named = msgspec.structs.replace(agent, name=f"{kind}-{agent.name}")
            turn = _turn(rng, f"s{seed}-{number}", named, TOKENS[kind], step == steps - 1)
            turns.append(msgspec.structs.replace(turn, think_s=0.0 if step else number * GAP_S))
        number += 1
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


QUICK_MEAN = replace(SESSION_MEAN, name="quick session mean", whose=QUICK)
DEEP_MEAN = replace(SESSION_MEAN, name="deep session mean", whose=DEEP)

_BY_SERVICE = PolicyCase(
    name="short and long",
    says="short tasks end sooner, at no cost of throughput",
    turns=short_and_long,
    requests=120,
    sessions=120,
    arrivals=True,
    kv_tokens=16_384,
    measures=(QUICK_MEAN, DEEP_MEAN, SESSION_MEAN, TTFT_MEAN, TTFT_P99, REQUESTS_PER_S),
    floors=(
        Floor(measure=QUICK_MEAN.name, most=-20.0),
        Floor(measure=SESSION_MEAN.name, most=5.0),
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
