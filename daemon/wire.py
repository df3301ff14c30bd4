"""The wire between daemon and console: topics, payloads and commands. JSON, so that `mosquitto_sub | jq` reads it.

All topics lie under `radixdeck/v1/<node>/`:

    status      retained; last will says offline            Status
    agents      retained; summary table, once a second      AgentsTable
    policies    retained; policies, tunables, bounds        PoliciesTable
    residency   keyframe while somebody watches             Keyframe
    events      batches, numbered without gaps per run      EventBatch
    metrics     once a second                               Metrics
    command     in: anybody with the right to write         Command
    reply/<client>  out: one or two per command             Reply

`v` counts additive changes; the `v1` in the topic changes only when an old reader would misread.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from radixdeck.policies.events import NO_NODE, Part, Role
from radixdeck.policies.residency import AgentStats, RunState

VERSION = 1
ROOT = "radixdeck/v1"
NODE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def topic(node: str, leaf: str) -> str:
    """`radixdeck/v1/<node>/<leaf>`. Raises ValueError if the node's name has other than letters, digits, _ . -"""
    if not NODE_NAME.fullmatch(node):
        raise ValueError(f"node name {node!r}: letters, digits, '_', '.' and '-' only, at most 64")
    return f"{ROOT}/{node}/{leaf}"


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Is the daemon there, is its engine, and in which run. `state`: of the engine; `detail`: in words."""

    v: int = VERSION
    node: str
    online: bool
    run: str = ""
    state: Literal["starting", "ready", "restarting", "failed", "stopped", "offline"] = "offline"
    detail: str = ""
    model: str = ""
    endpoint: str = ""
    recording: str = ""
    version: str = ""
    started_ns: int = 0


class TunableInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: float
    default: float
    low: float
    high: float
    unit: str
    doc: str


class PolicyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One policy as the console shows it. `observe_us`, `score_us`: mean cost of a call, microseconds; `tells`: what it
    says of itself, in named numbers."""

    name: str
    doc: str
    slot: str
    enabled: bool
    failed: str = ""
    tunables: list[TunableInfo] = []
    observe_us: float = 0.0
    score_us: float = 0.0
    decisions: int = 0
    tells: dict[str, float] = {}


class SubjectScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the policies give one class of cache nodes now; the fields of a subject, then its score."""

    role: Role
    agents: tuple[str, ...] = ()
    session: str = ""
    node: int = NO_NODE
    key: float
    parts: dict[str, float] = {}
    part: Part = ""


class PoliciesTable(msgspec.Struct, frozen=True, kw_only=True):
    """Policies and tunables, what they predict, and `scores` of what is resident now (a few hundred at most; none
    while nobody watches)."""

    v: int = VERSION
    policies: list[PolicyInfo] = []
    predictability: float = 0.0
    dispatches: int = 0
    survival: dict[str, float] = {}
    scores: list[SubjectScore] = []


class AgentsTable(msgspec.Struct, frozen=True, kw_only=True):
    """`off`: policies that this node, a daemon, was started with and that the last order about them in this run was to
    switch off; MCP proxies follow it while the node is online. Not those that failed or lost their slot. A daemon that
    ends leaves it empty, and a proxy's is always so."""

    v: int = VERSION
    run: str
    seq: int
    agents: list[AgentStats] = []
    off: list[str] = []


class EventBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Events `first_seq` ... `first_seq + len(events) - 1` of run `run`. A reader that misses a number asks for a
    keyframe (`watch` with resync) and continues from there. Prompt hashes (`tail`, `output`) are left out here."""

    v: int = VERSION
    run: str
    first_seq: int
    events: list[msgspec.Raw]


class Keyframe(msgspec.Struct, frozen=True, kw_only=True):
    """The whole folded state after event `seq`; apply events from `seq + 1` on."""

    v: int = VERSION
    run: str
    seq: int
    t_ns: int
    state: RunState


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Once a second. Rates are over the last 10 s; `hit_rate`: cached / prompt tokens, 0 to 1. `blind`: why nothing of
    the engine's tree is told, as in RunState; '' while it is."""

    v: int = VERSION
    t_ns: int
    hit_rate: float = 0.0
    requests_per_s: float = 0.0
    ttft_p50_s: float = 0.0
    ttft_p95_s: float = 0.0
    running: int = 0
    waiting: int = 0
    used_tokens: int = 0
    capacity_tokens: int = 0
    events_dropped: int = 0
    recorder_backlog: int = 0
    recorder_dropped: int = 0
    recorder_failed: str = ""
    blind: str = ""


CommandName = Literal[
    "watch", "warm", "pin", "unpin", "retain", "evict", "boost", "quarantine", "release",
    "policy", "tune", "end_session", "flush",
]  # fmt: skip


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order. `id`: unique; the same id again gets the same answer and is not carried out twice. `client`: where
    the reply goes. `expires_ns`: UTC nanoseconds after which it is refused, 0 for never. `arguments` by name: those of
    the order in `orders.ORDERS`.
    """

    v: int = VERSION
    id: str
    client: str
    name: CommandName
    by: str = "operator"
    why: str = ""
    expires_ns: int = 0
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command: accepted (only if it takes longer than 200 ms), then done or refused with why."""

    v: int = VERSION
    id: str
    state: Literal["accepted", "done", "refused"]
    detail: str = ""
    tokens: int = 0


class WireError(ValueError):
    """A payload that is not what its topic promises. The message names the topic and the field."""


def decode(kind: type[msgspec.Struct], payload: bytes, where: str) -> Any:
    """Decode a payload as `kind`. Raises WireError naming `where` and the offending field."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{where}: {error}") from error


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a broker listens. `kind`: who runs it. Credentials may be empty. `v5`: whether it speaks MQTT 5.
    `max_packet_bytes`: what it delivers at most, 0 if that is not known before a client connects."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False
    v5: bool = True
    kind: Literal["external", "mosquitto", "amqtt"] = "external"
    max_packet_bytes: int = 0


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a running daemon leaves in `<state dir>/daemons/<node>.json` (mode 0600), so that a console on the same
    machine finds it without being told anything. `start`: when process `pid` began, see storage.process_start; filled
    in as the file is written."""

    v: int = VERSION
    node: str
    pid: int
    broker: BrokerAddress
    endpoint: str
    recording: str
    log: str = ""
    start: str = ""
