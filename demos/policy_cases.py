"""The cases of `bench_policy`, by policy. A new one is a function that makes turns from a seed, and an entry below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import msgspec

from .drive import Outcome
from .policy_case import PolicyCase
from .policy_cases_ahead import SPECULATION
from .policy_cases_hedging import HEDGING
from .policy_cases_order import BATCH_SHAPING, CRITICAL_PATH
from .policy_cases_tools import MEMOIZATION
from .policy_measures import (
    HIT_RATE,
    LATENCY_P50,
    REQUESTS_PER_S,
    TTFT_MEAN,
    TTFT_P50,
    TTFT_P99,
    Floor,
    Measure,
    ttft_percentile,
)
from .prompts import material, remark, system_prompt
from .workloads import Turn, WorkloadSpec, generate

# ---- safety ----------------------------------------------------------------------------------------------------------

SAFETY_RULES = """
[everybody]
max_output_tokens = 4096
requests_per_minute = 100000
tokens_per_minute = 100000000
"""


def short_and_cached(seed: int, requests: int) -> list[Turn]:
    """The same short question again and again, so that an engine's own time does not hide what is added to it."""
    question = {"role": "user", "content": remark(Random(seed), 120)}
    return [
        Turn(session=f"s{seed}-{n}", agent="asker", messages=[question], max_tokens=1, last=True)
        for n in range(requests)
    ]


SHORT_DRIVE, MANY_PAIRS = 40, 40
"""Shared processors speed up and slow down by more than a floor within seconds: off and on take turns sooner."""

SAFETY = (
    PolicyCase(
        name="nothing to do",
        says="rules that nobody breaks cost a request at most 1 ms and 5 % of throughput",
        turns=short_and_cached,
        requests=SHORT_DRIVE,
        repetitions=MANY_PAIRS,
        sessions=1,
        kv_tokens=131_072,
        measures=(LATENCY_P50, TTFT_P50, REQUESTS_PER_S),
        floors=(
            Floor(measure=TTFT_P50.name, change="difference", most=1.0),
            Floor(measure=REQUESTS_PER_S.name, least=-5.0),
        ),
        rules={"safety": SAFETY_RULES},
        holds=False,
    ),
)

# ---- all of them -----------------------------------------------------------------------------------------------------

EVERY_POLICY = (
    "admission", "batch_shaping", "critical_path", "fairness", "hedging", "memoization", "safety", "speculation",
)  # fmt: skip
EVERYTHING = (
    replace(
        SAFETY[0],
        says="all policies on, and a second engine that nobody needs, cost a request at most 1 ms and 5 % of "
        "throughput where none of them has anything to do",
        together=EVERY_POLICY,
        second=True,
    ),
)

# ---- fairness --------------------------------------------------------------------------------------------------------

POLITE = 3
GREEDY_SESSIONS = 12


def one_greedy(seed: int, requests: int) -> list[Turn]:
    """One agent with twelve requests under way at any time, each with a page of its own, beside three agents that ask
    one short thing after the other. A seventh of the requests are theirs, so that they are through first."""
    rng = Random(f"greedy {seed}")
    turns: list[Turn] = []
    for number in range(POLITE):
        agent = f"polite-{number}"
        system = {"role": "system", "content": system_prompt(rng, agent, 300)}
        for _ in range(max(2, requests // 7 // POLITE)):
            messages = [system, {"role": "user", "content": remark(rng, 60)}]
            turns.append(Turn(session=agent, agent=agent, messages=messages, think_s=0.3))
    for number in range(requests - len(turns)):
        page = {"role": "user", "content": f"Read this:\n{material(rng, 700)}"}
        turns.append(Turn(session=f"greedy-{number % GREEDY_SESSIONS}", agent="greedy", messages=[page]))
    return turns


PAGES_BETWEEN = 7


def flood(seed: int, requests: int) -> list[Turn]:
    """Three agents ask about a document each, in turn, and another reads seven pages between any two of them. Each is a
    session of its own, so that one caller asks in this order however fast the engine is."""
    rng = Random(f"flood {seed}")
    polite: list[tuple[str, list[dict[str, str]]]] = []
    for number in range(POLITE):
        system = {"role": "system", "content": system_prompt(rng, f"polite-{number}", 300)}
        document = {"role": "user", "content": f"Keep this:\n{material(rng, 1_000)}"}
        polite.append((f"polite-{number}", [system, document]))
    turns: list[Turn] = []
    for number in range(requests):
        session = f"flood-{number}"
        if number % (PAGES_BETWEEN + 1):
            page = {"role": "user", "content": f"Read this:\n{material(rng, 700)}"}
            turns.append(Turn(session=session, agent="greedy", messages=[page], last=True))
        else:
            agent, known = polite[number // (PAGES_BETWEEN + 1) % POLITE]
            question = {"role": "user", "content": remark(rng, 40)}
            turns.append(Turn(session=session, agent=agent, messages=[*known, question], last=True))
    return turns


def _share_while_others_ask(whose: str) -> Callable[[Sequence[Outcome], float], float]:
    """Percent of the tokens computed until everybody else was through."""

    def read(outcomes: Sequence[Outcome], _wall_s: float) -> float:
        ends = [(o.start_s + o.latency_s, o) for o in outcomes]
        until_s = max((end for end, o in ends if not o.agent.startswith(whose)), default=0.0)
        work = [(o.agent, o.prompt_tokens - o.cached_tokens + o.output_tokens) for end, o in ends if end <= until_s]
        return 100 * sum(tokens for agent, tokens in work if agent.startswith(whose)) / max(1, sum(n for _, n in work))

    return read


POLITE_P50 = Measure("polite TTFT p50", "ms", ttft_percentile(50), whose="polite")
POLITE_P95 = Measure("polite TTFT p95", "ms", ttft_percentile(95), whose="polite")
GREEDY_P50 = Measure("greedy TTFT p50", "ms", ttft_percentile(50), whose="greedy")
POLITE_HITS = Measure("polite hit rate", "points", HIT_RATE.read, whose="polite")
GREEDY_SHARE = Measure("greedy's share", "points", _share_while_others_ask("greedy"))

FAIRNESS = (
    PolicyCase(
        name="one greedy agent",
        says="who asks one thing at a time does not wait behind twelve of another, and nobody computes less",
        turns=one_greedy,
        requests=120,
        sessions=POLITE + GREEDY_SESSIONS,
        kv_tokens=32_768,
        tunables={"ahead": 2.0},
        measures=(POLITE_P50, POLITE_P95, GREEDY_P50, GREEDY_SHARE, REQUESTS_PER_S),
        floors=(Floor(measure=POLITE_P95.name, most=-50.0), Floor(measure=REQUESTS_PER_S.name, least=-5.0)),
        holds=True,
    ),
    PolicyCase(
        name="flood",
        says="who comes back finds what it left, though another read more than the cache holds meanwhile",
        turns=flood,
        requests=120,
        sessions=1,
        kv_tokens=12_288,
        measures=(POLITE_HITS, POLITE_P50, HIT_RATE, REQUESTS_PER_S),
        floors=(
            Floor(measure=POLITE_HITS.name, change="difference", least=10.0),
            Floor(measure=REQUESTS_PER_S.name, least=-5.0),
        ),
        holds=False,
    ),
)

# ---- admission -------------------------------------------------------------------------------------------------------


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """So many `sessions`, when they are at their longest, fill the cache beside both anchors."""

    spec: WorkloadSpec
    sessions: int
    kv_tokens: int


LARGE = WorkloadSpec(
    agents=2, topology="random", style="private", think_s=(0.2, 1.0), anchor_tokens=(500, 900), task_tokens=(40, 120),
    remark_tokens=(30, 90), material_tokens=(150, 350),
)  # fmt: skip
"""Two agents that take turns, each with a history of its own that grows by a tool's result each time."""
SMALL = msgspec.structs.replace(
    LARGE, anchor_tokens=(250, 400), task_tokens=(20, 60), remark_tokens=(15, 40), material_tokens=(60, 140)
)
MANY = Room(spec=LARGE, sessions=6, kv_tokens=20_000)
FEW = Room(spec=LARGE, sessions=3, kv_tokens=10_000)
SHORT = Room(spec=SMALL, sessions=8, kv_tokens=10_000)
MORE_HITS = Floor(measure=HIT_RATE.name, change="difference", least=10.0)
BOUNDED = Floor(measure=TTFT_P99.name, change="difference", most=30_000.0)
"""Half of what admission may hold a session for. Floors were set on the tuning seeds."""


def _overload(times: int, room: Room, requests: int, says: str, *floors: Floor) -> PolicyCase:
    sessions = times * room.sessions
    spec = msgspec.structs.replace(room.spec, sessions=sessions)
    note = ", short prompts" if room is SHORT else ", few sessions" if room is FEW else ""
    return PolicyCase(
        name=f"{times}x{note}",
        says=says,
        turns=lambda seed, requests: generate(msgspec.structs.replace(spec, seed=seed, requests=requests)),
        requests=requests,
        sessions=sessions,
        kv_tokens=room.kv_tokens,
        measures=(HIT_RATE, REQUESTS_PER_S, TTFT_MEAN, TTFT_P50, TTFT_P99),
        floors=floors,
        holds=True if times > 1 else None,
    )


def _faster(percent: float) -> Floor:
    return Floor(measure=REQUESTS_PER_S.name, least=percent)


ADMISSION = (
    _overload(1, MANY, 160, "where everything just fits it costs nothing", _faster(-5)),
    _overload(2, MANY, 160, "sessions find what they left, and more are served", MORE_HITS, _faster(15), BOUNDED),
    _overload(4, MANY, 160, "the same, at the price of a wait of 60 s at most", MORE_HITS, _faster(15), BOUNDED),
    _overload(2, FEW, 100, "the same where the cache has room for three", MORE_HITS, _faster(10), BOUNDED),
    _overload(4, SHORT, 200, "it does no harm where a hit saves little", MORE_HITS, _faster(-5), BOUNDED),
)

CASES: dict[str, tuple[PolicyCase, ...]] = {
    "admission": ADMISSION,
    "all": EVERYTHING,
    "batch_shaping": BATCH_SHAPING,
    "critical_path": CRITICAL_PATH,
    "fairness": FAIRNESS,
    "hedging": HEDGING,
    "memoization": MEMOIZATION,
    "safety": SAFETY,
    "speculation": SPECULATION,
}
