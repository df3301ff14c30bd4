"""The families of modelled streams that policies are judged on, each of a few variants; what each asks is said beside.

A stream is made from a seed, so that tuning (TUNING_SEEDS) and reporting (REPORT_SEEDS) never see the same one. Real
logs are shuffled and timed by the seed; a real trace is as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from radixdeck.storage.streams import Stream

from .stream_chats import chats_stream
from .stream_files import logs_stream, mooncake_stream
from .stream_spec import StreamSpec
from .streams import generate_stream
from .workloads import WorkloadError

ROSTERS: tuple[tuple[int, float], ...] = ((6, 6.0), (12, 6.0), (24, 10.0))
"""Agents, and sessions live at once."""
TOPOLOGIES = ("pipeline", "debate", "selector", "random", "mixture")
NON_STATIONARY, PER_TASK, GARBAGE, MANY = "non-stationary", "per-task prompts", "garbage ids", "200 agents"
PLAIN, LOGS = "plain conversations", "real logs"
NO_NAMES = "no names"
"""Part of the name of a plain stream where nothing is known of who asks."""
IDENTIFIED = ", identified"
"""Behind the name of a stream of which policies are told what the daemon makes of bad names."""
TRACE = Path("mooncake/synthetic_trace.jsonl")
LOG_FOLDERS = ("who_and_when/algorithm_generated", "who_and_when/hand_crafted", "who_and_when")


class Variant(Protocol):
    """One member of a family. `seeded`: whether seeds make a difference; `agents`: how many there are, 0: unknown."""

    @property
    def name(self) -> str: ...
    @property
    def agents(self) -> int: ...
    @property
    def seeded(self) -> bool: ...
    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False, tells_next: bool = False) -> Stream:
        """Raises WorkloadError."""
        ...


@dataclass(frozen=True)
class Generated:
    """All settings of a StreamSpec but seed, requests and hints."""

    name: str
    settings: dict[str, Any]
    seeded: bool = field(default=True, init=False)

    @property
    def agents(self) -> int:
        return self.settings["agents"]

    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False, tells_next: bool = False) -> Stream:
        hints = {"tells_ends": tells_ends, "tells_next": tells_next}
        spec = StreamSpec(seed=seed, requests=requests, **hints, **self.settings)
        return generate_stream(spec, f"{self.name}, seed {seed}")


@dataclass(frozen=True)
class Chats:
    """Nobody says when a conversation is over."""

    name: str
    names: bool
    agents: int = 0
    seeded: bool = field(default=True, init=False)

    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False, tells_next: bool = False) -> Stream:
        return chats_stream(seed, requests=requests, names=self.names)


@dataclass(frozen=True)
class Trace:
    """A Mooncake trace, whole: conversations go on over all of it."""

    name: str
    path: Path
    names: bool
    agents: int = 0
    seeded: bool = field(default=False, init=False)

    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False, tells_next: bool = False) -> Stream:
        return mooncake_stream(self.path, names=self.names)


@dataclass(frozen=True)
class Logs:
    """All logs under a folder, whole."""

    name: str
    path: Path
    agents: int = 0
    seeded: bool = field(default=True, init=False)

    def stream(self, seed: int, *, requests: int = 800, tells_ends: bool = False, tells_next: bool = False) -> Stream:
        return logs_stream(self.path, seed, tells_ends=tells_ends, tells_next=tells_next)


def families(traces: Path | None = None) -> dict[str, list[Variant]]:
    """By name. `traces`: folder with mooncake/ and who_and_when/, either of which may be missing."""
    made: dict[str, list[Variant]] = {
        **{name: _topology(name) for name in TOPOLOGIES},
        NON_STATIONARY: _changing(),
        PER_TASK: _per_task(),
        GARBAGE: _garbage(),
        MANY: _many(),
        PLAIN: [Chats("chats", names=True), Chats(f"chats, {NO_NAMES}", names=False)],
    }
    if traces is not None and (path := traces / TRACE).is_file():
        made[PLAIN] += [Trace("Mooncake", path, names=True), Trace(f"Mooncake, {NO_NAMES}", path, names=False)]
    found = [folder for folder in LOG_FOLDERS if traces is not None and (traces / folder).is_dir()]
    if traces is not None and found:
        made[LOGS] = [Logs(folder.split("/")[-1].replace("_", " "), traces / folder) for folder in found]
    return made


def variants(family: str, traces: Path | None = None) -> list[Variant]:
    """Raises WorkloadError for a family that is not known, or whose files are not there."""
    made = families(traces)
    if family not in made:
        raise WorkloadError(f"family: no {family!r}; known: {', '.join(made)}")
    return made[family]


def _topology(topology: str) -> list[Variant]:
    return [
        Generated(
            f"{topology}, {style}, {agents} agents",
            {"topology": topology, "style": style, "agents": agents, "live_sessions": live},
        )
        for agents, live in ROSTERS
        for style in ("private", "supervisor")
    ]


def _changing() -> list[Variant]:
    """Half-way through the roster or the topology is another one."""
    return [
        Generated(
            f"{topology} with another {change} halfway, {style}",
            {"topology": topology, "style": style, "agents": 12, "change": change},
        )
        for topology, style in (("pipeline", "private"), ("selector", "supervisor"))
        for change in ("roster", "topology")
    ]


def _per_task() -> list[Variant]:
    """Anchors written anew for each session, as CaptainAgent does it: nothing is shared between sessions."""
    return [
        Generated(
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
    """Callers that name agents and sessions badly or not at all, on traffic where there is something to lose: policies
    told what was said, and what the daemon's front makes of it where that is something else."""
    lumped = ("one_agent", "one_session", "all_equal")
    split = ("session_per_request", "agent_per_request", "random", "no_session", "no_agent", "none")
    return [_misnamed(said) for said in lumped + split] + [_misnamed(said, identified=True) for said in split]


def _misnamed(said: str, *, identified: bool = False) -> Variant:
    return Generated(
        f"mixture, ids: {said.replace('_', ' ')}{IDENTIFIED if identified else ''}",
        {"topology": "mixture", "style": "private", "agents": 12, "ids": said, "identified": identified},
    )


def _many() -> list[Variant]:
    """200 agents, of which each session draws a team of six."""
    return [
        Generated(
            f"{topology}, {style}, 200 agents in teams of 6",
            {"topology": topology, "style": style, "agents": 200, "team": 6, "live_sessions": 16.0},
        )
        for topology, style in (("mixture", "private"), ("pipeline", "supervisor"), ("random", "private"))
    ]


FAMILIES: dict[str, list[Variant]] = families()
"""The families that need no files."""
