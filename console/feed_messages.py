"""What a live feed tells its reader: one small struct per kind of news."""

from __future__ import annotations

import msgspec

from radixdeck.daemon.wire import AgentsTable, Metrics, PoliciesTable, Status
from radixdeck.policies.events import AnyEvent

from .feed_sync import NodeEvents, NodeKeyframe

LEAVES = ("status", "agents", "policies", "metrics", "residency", "events")
"""The topics of a node that a feed listens to, beside replies."""
ORDERS_ONLY = ("status",)
"""As many as it takes to give orders: who is there."""


class NodeStatus(msgspec.Struct, frozen=True):
    """A node is there or not, and how its engine is."""

    node: str
    status: Status


class NodeCleared(msgspec.Struct, frozen=True):
    """The broker keeps no status of a node any more: nobody will have its name again."""

    node: str


class NodeAgents(msgspec.Struct, frozen=True):
    """The agents of a node in summary."""

    node: str
    table: AgentsTable


class NodePolicies(msgspec.Struct, frozen=True):
    """The policies of a node with their tunables."""

    node: str
    table: PoliciesTable


class NodeMetrics(msgspec.Struct, frozen=True):
    """The last second of a node in numbers."""

    node: str
    metrics: Metrics


class NodeOrders(msgspec.Struct, frozen=True):
    """Of the events that a replay passed over, those that tell what operators did, each with its number, in order."""

    node: str
    run: str
    events: list[tuple[int, AnyEvent]]


class Connection(msgspec.Struct, frozen=True):
    """The connection to the broker came up, or was lost and why. It is tried again by itself, unless it is `over`."""

    up: bool
    why: str = ""
    over: bool = False


FeedMessage = (
    NodeStatus
    | NodeCleared
    | NodeKeyframe
    | NodeEvents
    | NodeOrders
    | NodeAgents
    | NodePolicies
    | NodeMetrics
    | Connection
)

__all__ = [
    "Connection",
    "FeedMessage",
    "NodeAgents",
    "NodeCleared",
    "NodeEvents",
    "NodeKeyframe",
    "NodeMetrics",
    "NodeOrders",
    "NodePolicies",
    "NodeStatus",
]
