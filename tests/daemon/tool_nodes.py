"""What others on the broker tell a process that calls tools: orders, and who is quarantined and what is off at their
node."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from brokers import Raw

from radixdeck.daemon.wire import ROOT, AgentsTable, Reply
from radixdeck.policies.residency import AgentStats

RULES = "[tools.get]\nread_only = true\nttl_s = 60\n"


async def order(raw: Raw, node: str, order_name: str, /, **arguments: Any) -> Reply:
    """Give a node an order; `raw` listens to its replies to the client `me`."""
    told = {"id": uuid.uuid4().hex, "client": "me", "name": order_name, "arguments": arguments}
    await raw.publish(f"{ROOT}/{node}/command", msgspec.json.encode(told))
    return msgspec.json.decode((await raw.next()).payload, type=Reply)


def table(*quarantined: str, off: Sequence[str] = ()) -> bytes:
    """A node's table of the agents coder and other. `off`: policies that were switched off there."""
    rows = [AgentStats(agent=agent, quarantined=agent in quarantined) for agent in ("coder", "other")]
    return msgspec.json.encode(AgentsTable(run="r", seq=1, agents=rows, off=list(off)))
