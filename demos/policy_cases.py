"""The cases of `bench_policy`, by policy. A new one is a function that makes turns from a seed, and an entry below."""

from __future__ import annotations

from random import Random

from .policy_case import PolicyCase
from .policy_cases_order import BATCH_SHAPING, CRITICAL_PATH
from .policy_measures import LATENCY_P50, REQUESTS_PER_S, TTFT_P50, Floor
from .prompts import remark
from .workloads import Turn

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


SAFETY = (
    PolicyCase(
        name="nothing to do",
        says="rules that nobody breaks cost a request at most 1 ms and 5 % of throughput",
        turns=short_and_cached,
        requests=300,
        sessions=1,
        kv_tokens=131_072,
        measures=(LATENCY_P50, TTFT_P50, REQUESTS_PER_S),
        floors=(
            Floor(measure=TTFT_P50.name, change="difference", most=1.0),
            Floor(measure=REQUESTS_PER_S.name, least=-5.0),
        ),
        rules=SAFETY_RULES,
        holds=False,
    ),
)

CASES: dict[str, tuple[PolicyCase, ...]] = {
    "batch_shaping": BATCH_SHAPING,
    "critical_path": CRITICAL_PATH,
    "safety": SAFETY,
}
