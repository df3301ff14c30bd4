"""The console without a screen, for scripts and pipes: follow the events, or give one order and print its answer."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Collection
from typing import Any, TextIO

import msgspec

from radixdeck.daemon.wire import BrokerAddress, CommandName, Reply
from radixdeck.daemon.wire_client import AddressSource
from radixdeck.policies.events import KINDS, AnyEvent, encode, kind_of

from .feed_messages import ORDERS_ONLY, Connection, NodeEvents, NodeStatus
from .feed_mqtt import MqttFeed

DONE, REFUSED, NO_DAEMON = 0, 1, 3
"""Exit codes of `act`."""
CONNECT_S = 10.0
"""How long the first connection may take: a broker that is silent in MQTT 5 is asked again in 3.1.1."""
FIND_S = 3.0
OTHERS_S = 0.2
"""How long to look for further daemons after the first: retained states arrive together."""

Render = Callable[[str, int, AnyEvent], str]
"""(node, number, event) -> one line."""


class UnknownKind(ValueError):
    """An event kind that does not exist. The message names those that do."""


def as_json(node: str, seq: int, event: AnyEvent) -> str:
    """The event as it is on the wire, with its node and number in front."""
    head = msgspec.json.encode({"node": node, "seq": seq})
    return (head[:-1] + b"," + encode(event)[1:]).decode()


async def tail(
    address: BrokerAddress | AddressSource,
    *,
    node: str | None = None,
    kinds: Collection[str] = (),
    render: Render = as_json,
    out: TextIO | None = None,
    notes: TextIO | None = None,
) -> None:
    """Print events from now on, one a line, until cancelled or until nobody reads any more. `kinds`: only these.

    Losses (of the connection, of events) are told on `notes`. Raises UnknownKind, or ValueError for a bad node name.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UnknownKind(f"unknown event kind {', '.join(unknown)}; known: {', '.join(sorted(KINDS))}")
    lines_to: TextIO = out or sys.stdout
    notes_to: TextIO = notes or sys.stderr
    expected: dict[tuple[str, str], int] = {}
    async with MqttFeed(address, node, keyframes=False) as feed:
        async for message in feed:
            if isinstance(message, Connection) and not message.up:
                print(f"no connection to the broker, trying again: {message.why}", file=notes_to, flush=True)
            if not isinstance(message, NodeEvents):
                continue
            missing = message.first_seq - expected.get((message.node, message.run), message.first_seq)
            if missing > 0:
                print(f"{message.node}: {missing} events were lost on the way", file=notes_to, flush=True)
            expected[message.node, message.run] = message.last_seq + 1
            lines = [
                render(message.node, seq, e) + "\n" for seq, e in message.events if not kinds or kind_of(e) in kinds
            ]
            try:
                lines_to.write("".join(lines))
                lines_to.flush()
            except BrokenPipeError:
                return


async def act(
    address: BrokerAddress | AddressSource,
    name: CommandName,
    arguments: dict[str, Any],
    *,
    node: str | None = None,
    why: str = "",
    by: str = "",
    timeout_s: float = 10.0,
    out: TextIO | None = None,
) -> int:
    """Give one order and print the reply as a line of JSON. Exit code: 0 done, 1 refused, 3 no daemon to give it to.

    Without `node` there must be exactly one daemon online at this broker.
    """
    out = out or sys.stdout
    async with MqttFeed(address, node, keyframes=False, leaves=ORDERS_ONLY) as feed:
        found, problem = await _find_node(feed, node)
        if not found:
            print(msgspec.json.encode(Reply(id="", state="refused", detail=problem)).decode(), file=out, flush=True)
            return NO_DAEMON
        reply = await feed.command(found, name, arguments, why, by=by, timeout_s=timeout_s)
    print(msgspec.json.encode(reply).decode(), file=out, flush=True)
    return DONE if reply.state == "done" else REFUSED


async def _find_node(feed: MqttFeed, node: str | None) -> tuple[str, str]:
    """The node to talk to, or why there is none. Retained status tells at once who is there."""
    with contextlib.suppress(TimeoutError):
        now_s = asyncio.get_running_loop().time
        async with asyncio.timeout(CONNECT_S) as limit:
            async for message in feed:
                if isinstance(message, Connection):
                    found_by_s = now_s() + FIND_S
                    limit.reschedule(found_by_s if message.up else min(found_by_s, limit.when() or found_by_s))
                if isinstance(message, NodeStatus) and message.status.online:
                    if node is not None:
                        return node, ""
                    limit.reschedule(now_s() + OTHERS_S)
    online = sorted(name for name, status in feed.statuses.items() if status.online)
    if not feed.connected:
        return "", f"no connection to the broker: {feed.why_lost}"
    if node is not None or not online:
        return "", f"no daemon{f' named {node!r}' if node else ''} is online at this broker"
    if len(online) > 1:
        return "", f"{len(online)} daemons are online: {', '.join(online)}; choose one with --node"
    return online[0], ""
