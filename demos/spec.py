"""What a workload is asked for and what comes of it: the settings, one request, and the seeds that are kept apart."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .casts import CASTS
from .graphs import TOPOLOGIES
from .memo_trace import Step
from .prompts import agent_names

Message = dict[str, Any]
Style = Literal["private", "supervisor"]
Topology = Literal["pipeline", "debate", "selector", "random", "mixture", "two_turns", "test_loop"]
Shift = Literal["none", "roster", "topology"]

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
    `last`: its session is over with it. `call`: of a tool, made before the request; its result is the last message.
    `answer`: what was answered, if that is on record.
    """

    session: str
    agent: str
    messages: list[Message]
    tools: list[dict[str, Any]] = []
    max_tokens: int = 8
    think_s: float = 0.0
    answer: str = ""
    stream: bool = True
    last: bool = False
    call: Step | None = None


class WorkloadSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to generate; the defaults are the demo's. Pairs are inclusive bounds, in tokens, drawn evenly.

    Anchors (system prompt and tools) of 500 to 1,500 tokens and the 34-62 % of all prompt tokens that they make up are
    what the study of agent traffic in arXiv 2605.27744 reports. `style`: `private`, each agent keeps its own history;
    `supervisor`, each agent sees the whole transcript. `sessions`: live at once; a finished one is replaced.
    `pause_requests`: median number of other requests served before a session comes back, log-normally distributed.
    `cast`: roles, tools, anchors and tasks of a named workload (`casts.py`) instead of the general ones.
    `shift`: what is different for sessions that begin in the second half. `per_task`: every session has prompts
    written for it alone, so that no anchor is ever shared.
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
    cast: str = ""
    shift: Shift = "none"
    per_task: bool = False


def check(spec: WorkloadSpec) -> None:
    """Raises WorkloadError naming the setting that makes no sense."""
    if spec.topology not in TOPOLOGIES:
        raise WorkloadError(f"topology: no {spec.topology!r}; known: {', '.join(TOPOLOGIES)}")
    if spec.cast and spec.cast not in CASTS:
        raise WorkloadError(f"cast: no {spec.cast!r}; known: {', '.join(CASTS)}")
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
