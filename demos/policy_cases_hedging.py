"""The case of hedging: short questions, and now and then a long page of somebody else's that they come to stand behind.

A second SGLang as it comes runs on the same machine. On two cores both engines, the daemon and the client share what
there is, so what is computed twice is not free there.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from .policy_case import PolicyCase
from .policy_measures import REQUESTS_PER_S, TTFT_P50, TTFT_P99, Floor, ttft_percentile
from .prompts import material, remark, system_prompt
from .spec import Turn

QUICK, READER = "quick", "reader"
QUICK_AGENTS = 3
GAP_S = 0.5
"""Between questions: a little more than twice what one takes, so that they queue behind a page only."""
QUESTIONS_PER_PAGE = 40
PAGE_TOKENS = 3_000
"""Takes an engine on one core a second or more to read."""


def behind_a_page(seed: int, requests: int) -> list[Turn]:
    """Questions that come at times of their own, their agents' anchors cached; every now and then one is followed at
    once by a page that nobody has read."""
    rng = Random(f"behind a page {seed}")
    systems = [system_prompt(rng, f"{QUICK}-{number}", 400) for number in range(QUICK_AGENTS)]
    turns: list[Turn] = []
    for number in range(requests):
        at_s = number * GAP_S
        if number % QUESTIONS_PER_PAGE == QUESTIONS_PER_PAGE // 2:
            text = f"Page {seed}-{number}. Read this:\n{material(rng, PAGE_TOKENS)}"
            turns.append(_turn(f"p{seed}-{number}", READER, [{"role": "user", "content": text}], at_s))
            continue
        agent = number % QUICK_AGENTS
        asked = [{"role": "system", "content": systems[agent]}, {"role": "user", "content": remark(rng, 60)}]
        turns.append(_turn(f"q{seed}-{number}", f"{QUICK}-{agent}", asked, at_s))
    return turns


def _turn(session: str, agent: str, messages: list[dict[str, str]], at_s: float) -> Turn:
    return Turn(session=session, agent=agent, messages=messages, think_s=at_s, last=True)


QUICK_P50 = replace(TTFT_P50, name="question TTFT p50", whose=QUICK)
QUICK_P95 = replace(TTFT_P50, name="question TTFT p95", read=ttft_percentile(95), whose=QUICK)
QUICK_P99 = replace(TTFT_P99, name="question TTFT p99", whose=QUICK)

HEDGING = (
    PolicyCase(
        name="behind a page",
        says="questions that come to stand behind a long page are answered elsewhere, and the others wait no longer",
        turns=behind_a_page,
        requests=200,
        sessions=200,
        arrivals=True,
        kv_tokens=65_536,
        measures=(QUICK_P50, QUICK_P95, QUICK_P99, TTFT_P99, REQUESTS_PER_S),
        floors=(
            Floor(measure=QUICK_P99.name, most=-20.0),
            Floor(measure=QUICK_P50.name, most=5.0),
            Floor(measure=REQUESTS_PER_S.name, least=-5.0),
        ),
        second=True,
    ),
)
