"""The families of modelled streams that policies are judged on, each of a few variants; what each asks is said beside.

A stream is made from a seed, so that tuning (TUNING_SEEDS) and reporting (REPORT_SEEDS) never see the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radixdeck.storage.streams import Stream

from .stream_spec import StreamSpec
from .streams import generate_stream
from .workloads import WorkloadError

ROSTERS: tuple[tuple[int, float], ...] = ((6, 6.0), (12, 6.0), (24, 10.0))
"""Agents, and sessions live at once."""


@dataclass(frozen=True)
class Variant:
    """One member of a family: its name and all settings of a StreamSpec but the seed."""

    family: str
    name: str
    settings: dict[str, Any]

    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False) -> Stream:
        """Raises WorkloadError."""
        spec = StreamSpec(seed=seed, requests=requests, tells_ends=tells_ends, **self.settings)
        return generate_stream(spec, f"{self.name}, seed {seed}")


def _topology(topology: str, **more: Any) -> list[Variant]:
    return [
        Variant(
            topology,
            f"{topology}, {style}, {agents} agents",
            {"topology": topology, "style": style, "agents": agents, "live_sessions": live, **more},
        )
        for agents, live in ROSTERS
        for style in ("private", "supervisor")
    ]


def _changing() -> list[Variant]:
    """Half-way through the roster or the topology is another one."""
    return [
        Variant(
            "non-stationary",
            f"{topology} with another {change} halfway, {style}",
            {"topology": topology, "style": style, "agents": 12, "change": change},
        )
        for topology, style in (("pipeline", "private"), ("selector", "supervisor"))
        for change in ("roster", "topology")
    ]


def _per_task() -> list[Variant]:
    """Anchors written anew for each session, as CaptainAgent does it: nothing is shared between sessions."""
    return [
        Variant(
            "per-task prompts",
            f"{topology}, prompts per task{', same names' if prompts == 'per_task_same_name' else ''}",
            {"topology": topology, "style": style, "agents": 6, "prompts": prompts},
        )
        for topology, style, prompts in (
            ("pipeline", "private", "per_task"),
            ("mixture", "supervisor", "per_task"),
            ("selector", "private", "per_task_same_name"),
        )
    ]


def _garbage() -> list[Variant]:
    """Callers that name agents and sessions badly or not at all, on traffic where there is something to lose."""
    ids = ("one_agent", "one_session", "all_equal", "session_per_request", "agent_per_request", "random",
           "no_session", "no_agent", "none")  # fmt: skip
    return [
        Variant(
            "garbage ids",
            f"mixture, ids: {said.replace('_', ' ')}",
            {"topology": "mixture", "style": "private", "agents": 12, "ids": said},
        )
        for said in ids
    ]


def _many() -> list[Variant]:
    """200 agents, of which each session draws a team of six."""
    return [
        Variant(
            "200 agents",
            f"{topology}, {style}, 200 agents in teams of 6",
            {"topology": topology, "style": style, "agents": 200, "team": 6, "live_sessions": 16.0},
        )
        for topology, style in (("mixture", "private"), ("pipeline", "supervisor"), ("random", "private"))
    ]


FAMILIES: dict[str, list[Variant]] = {
    **{name: _topology(name) for name in ("pipeline", "debate", "selector", "random", "mixture")},
    "non-stationary": _changing(),
    "per-task prompts": _per_task(),
    "garbage ids": _garbage(),
    "200 agents": _many(),
}


def variants(family: str) -> list[Variant]:
    """Raises WorkloadError for a family that is not known."""
    if family not in FAMILIES:
        raise WorkloadError(f"family: no {family!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[family]
