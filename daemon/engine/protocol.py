"""What crosses the zmq link between the daemon and the plug-in inside SGLang's scheduler.

The daemon binds a ROUTER at `ipc://...` (RADIXDECK_LINK), the plug-in connects a DEALER. One JSON message per frame.
Towards the daemon: Hello once, then EventsSent batches and Answers. Towards the engine: Orders. The plug-in never
blocks on the link: sends are non-blocking into a bounded buffer that drops the oldest and counts.
"""

from __future__ import annotations

import msgspec

from radixdeck.policies.events import EngineEvent
from radixdeck.policies.primitives import Action

ENV_LINK = "RADIXDECK_LINK"
"""Endpoint of the daemon's socket. Absent: the plug-in is inert."""
ENV_SETUP = "RADIXDECK_SETUP"
"""JSON of EngineSetup."""
BACKEND = "radixdeck"
"""Name of our radix-cache backend: `--radix-cache-backend radixdeck`."""
IN_BAND = "radixdeck"
"""Key of an Identity in a request's custom_params."""
CARRIED = "radixdeck:"
"""What an Identity as JSON stands behind, on routes that drop custom_params."""


class EngineSetup(msgspec.Struct, frozen=True, kw_only=True):
    """How the plug-in starts: enabled policies by name, and tunables per policy."""

    policies: list[str] = msgspec.field(default_factory=lambda: ["lru"])
    tunables: dict[str, dict[str, float]] = {}
    max_buffered_events: int = 50_000


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, carried in-band with every request as custom_params[IN_BAND] or as JSON behind CARRIED."""

    agent: str
    session: str
    tenant: str = "default"
    anchor: int = 0
    warm: bool = False


# ---- engine -> daemon ------------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    pid: int
    rank: int


class EventsSent(msgspec.Struct, frozen=True, tag="events"):
    """Engine-stream events `first_seq` ...; a gap in the numbers is preceded by an EventsDropped event."""

    first_seq: int
    events: list[EngineEvent]


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Reply to the order with the same `id`. `tokens`: how many it touched."""

    id: str
    ok: bool
    detail: str = ""
    tokens: int = 0


# ---- daemon -> engine (`expires_ns`: UTC; an order that is found later than that is refused, 0 never) ----------------


class Observe(msgspec.Struct, frozen=True, tag="observe"):
    """Facts for the engine stream (ToolCalled, AnswerGiven, SessionEnded, NextAgentHinted, AnchorMeasured, ActionTaken,
    PolicyFailed of a doorkeeper): stamped and echoed back, which is answer enough: with id '' no other is given."""

    id: str
    events: list[EngineEvent]


class Act(msgspec.Struct, frozen=True, tag="act"):
    """Carry out an action on the tree or the operator's scores: pin, unpin, retain, evict, boost."""

    id: str
    action: Action
    by: str = "operator"
    expires_ns: int = 0


class SwitchPolicy(msgspec.Struct, frozen=True, tag="switch"):
    id: str
    policy: str
    enabled: bool
    by: str = "operator"
    why: str = ""
    expires_ns: int = 0


class Tune(msgspec.Struct, frozen=True, tag="tune"):
    id: str
    policy: str
    name: str
    value: float
    by: str = "operator"
    why: str = ""
    expires_ns: int = 0


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Ask for the whole tree as NodeAdded/NodeOwned events after a CacheFlushed, in parent-before-child order."""

    id: str


Order = Observe | Act | SwitchPolicy | Tune | Snapshot
FromEngine = Hello | EventsSent | Answer
