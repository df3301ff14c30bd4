"""The cases of speculation: a pipeline whose agents share one transcript, with idle time between its steps and none.

Each agent's prompt is its anchor and all that was said so far. Nobody computed that behind this anchor before, but for
what was prefilled while a tool ran.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from radixdeck.policies.speculation import Speculation

from .policy_case import PolicyCase
from .policy_measures import AHEAD, AHEAD_WASTED, HIT_RATE, REQUESTS_PER_S, TTFT_MEAN, TTFT_P50, TTFT_P99, Floor
from .spec import Turn, WorkloadSpec
from .workloads import generate

PAUSED = WorkloadSpec(
    agents=6, sessions=3, topology="pipeline", style="supervisor", anchor_tokens=(500, 900), task_tokens=(40, 120),
    remark_tokens=(30, 90), material_tokens=(200, 500), think_s=(1.5, 4.0),
)  # fmt: skip
"""A tool runs for seconds after each step. Two cores compute a prompt in a third of a second, so with three sessions
open an engine is idle for most of the time, about a second at a stretch."""
BUSY = msgspec.structs.replace(PAUSED, sessions=4, think_s=(0.0, 0.0))
"""The next step comes as soon as the answer is there, so that some request is always under way."""
KV_TOKENS = 9_000
"""Anchors take about half of it. What three sessions need next does not fit beside them, once they are halfway."""

LEAST_CHANCE = next(tunable.default for tunable in Speculation.declares if tunable.name == "least_chance")
PROMISED = Floor(measure=AHEAD_WASTED.name, change="difference", most=100 * (1 - LEAST_CHANCE))
"""Nothing is prefilled that comes with less than this chance: if chances are true, no more than the rest is wasted."""


def with_pauses(seed: int, requests: int) -> list[Turn]:
    """Sessions with a tool that runs between any two requests."""
    return generate(msgspec.structs.replace(PAUSED, seed=seed, requests=requests))


def without_pauses(seed: int, requests: int) -> list[Turn]:
    """The same, and one more session, as fast as they can."""
    return generate(msgspec.structs.replace(BUSY, seed=seed, requests=requests))


_IDLE = PolicyCase(
    name="tools run",
    says="who comes next finds prefilled what was said, and little of what is prefilled is for nothing",
    turns=with_pauses,
    requests=80,
    sessions=PAUSED.sessions,
    kv_tokens=KV_TOKENS,
    measures=(TTFT_MEAN, TTFT_P50, TTFT_P99, HIT_RATE, REQUESTS_PER_S),
    counts=(AHEAD, AHEAD_WASTED),
    floors=(
        Floor(measure=TTFT_MEAN.name, most=-5.0),
        Floor(measure=TTFT_P99.name, most=10.0),
        Floor(measure=AHEAD.name, change="difference", least=1.0),
        PROMISED,
    ),
)
SPECULATION = (
    _IDLE,
    replace(
        _IDLE,
        name="no pauses",
        says="where requests follow each other at once it costs nothing",
        turns=without_pauses,
        sessions=BUSY.sessions,
        floors=(
            Floor(measure=TTFT_MEAN.name, most=3.0),
            Floor(measure=REQUESTS_PER_S.name, least=-5.0),
            PROMISED,
        ),
    ),
)
