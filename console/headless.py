"""The console without a screen, for scripts and pipes: follow the events, look once how every daemon stands, or give
one order and print its answer."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Collection
from typing import Any, Literal, TextIO

import msgspec

from radixdeck.daemon.wire import BrokerAddress, CommandName
from radixdeck.daemon.wire_client import AddressSource
from radixdeck.policies.events import KINDS, AnyEvent, encode, kind_of
from radixdeck.policies.residency import RunState

from .feed_messages import ORDERS_ONLY, Connection, NodeEvents, NodeKeyframe, NodeStatus
from .feed_mqtt import MqttFeed
from .silence import SILENT_S
from .standing import lines, rows, standings

DONE, REFUSED, NO_DAEMON = 0, 1, 3
"""Exit codes of `act`; `tail` has the first and the last."""
NOT_SERVING = 1
"""Exit code of `status` where a daemon is known that does not serve; its others are those of `tail`."""
CONNECT_S = 10.0
"""How long the first connection may take: a broker that is silent in MQTT 5 is asked again in 3.1.1."""
FIND_S = 3.0
OTHERS_S = 0.2
"""How long to look for further daemons after the first: retained states arrive together."""
LOOK_S = 0.1
QUIET_S = 1.0
SAY_AGAIN_S = 60.0
"""How often `tail` looks whether anybody is there, and tells what it waits for: at first and from then on."""

Render = Callable[[str, int, AnyEvent], str]
"""(node, number, event) -> one line."""


class Unreachable(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed in place of a reply when there was nobody to give the order to. No daemon says so."""

    id: str = ""
    state: Literal["unreachable"] = "unreachable"
    detail: str


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
    timeout_s: float | None = None,
    render: Render = as_json,
    out: TextIO | None = None,
    notes: TextIO | None = None,
) -> int:
    """Print events from now on, one a line, until cancelled or until nobody reads any more. `kinds`: only these.

    Losses (of the connection, of events) and what is waited for are told on `notes`. Exit code: 0, or 3 when no daemon
    was reached for `timeout_s`. Raises UnknownKind, or ValueError for a bad node name.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UnknownKind(f"unknown event kind {', '.join(unknown)}; known: {', '.join(sorted(KINDS))}")
    notes_to = notes or sys.stderr
    async with MqttFeed(address, node, keyframes=False) as feed:
        tasks = [
            asyncio.create_task(_print(feed, kinds, render, out or sys.stdout, notes_to)),
            asyncio.create_task(_wait(feed, node, timeout_s, notes_to)),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return ended.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _print(feed: MqttFeed, kinds: Collection[str], render: Render, out: TextIO, notes: TextIO) -> int:
    """Every event that comes, until nobody reads any more."""
    expected: dict[tuple[str, str], int] = {}
    async for message in feed:
        if isinstance(message, Connection) and not message.up:
            _say(f"no connection to the broker, trying again (Ctrl-C ends): {message.why}", notes)
        if not isinstance(message, NodeEvents):
            continue
        missing = message.first_seq - expected.get((message.node, message.run), message.first_seq)
        if missing > 0:
            _say(f"{message.node}: {missing} events were lost on the way", notes)
        expected[message.node, message.run] = message.last_seq + 1
        lines = [render(message.node, seq, e) + "\n" for seq, e in message.events if not kinds or kind_of(e) in kinds]
        try:
            out.write("".join(lines))
            out.flush()
        except BrokenPipeError:
            break
    return DONE


async def _wait(feed: MqttFeed, node: str | None, timeout_s: float | None, notes: TextIO) -> int:
    """Tell what is waited for while nobody is there, and again every minute; ends when that takes `timeout_s`."""
    now_s = asyncio.get_running_loop().time
    reached_s, told_s, connected, yet = now_s(), now_s(), False, " yet"
    while True:
        await asyncio.sleep(LOOK_S)
        if feed.connected and any(feed.silent_s(name) < SILENT_S for name in _online(feed)):
            reached_s, connected, yet = now_s(), False, ""
        elif timeout_s is not None and now_s() - reached_s >= timeout_s:
            _say(f"{_missing(feed, node)}: waited {timeout_s:g} s", notes)
            return NO_DAEMON
        elif feed.connected and not connected:  # a lost connection is told at once, where it is heard of
            connected, told_s = True, now_s() + QUIET_S - SAY_AGAIN_S
        elif now_s() - told_s >= SAY_AGAIN_S:
            _say(f"{_missing(feed, node)}{yet}, waiting (Ctrl-C ends)", notes)
            told_s = now_s()


def _missing(feed: MqttFeed, node: str | None) -> str:
    """Who is not there, in words."""
    if not feed.connected:
        return f"no connection to the broker ({feed.why_lost})"
    if online := _online(feed):
        return f"nothing heard of {', '.join(online)} for {SILENT_S:.0f} s"
    return f"no daemon{f' named {node!r}' if node else ''} at this broker"


def _online(feed: MqttFeed) -> list[str]:
    """The nodes whose last status says that they are there."""
    return sorted(name for name, status in feed.statuses.items() if status.online)


def _say(words: str, notes: TextIO) -> None:
    print(words, file=notes, flush=True)


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
    """Give one order and print the reply as a line of JSON. Exit code: 0 done, 1 refused or not answered in time, 3 no
    daemon to give it to.

    Without `node` there must be exactly one daemon online at this broker.
    """
    out = out or sys.stdout
    async with MqttFeed(address, node, keyframes=False, leaves=ORDERS_ONLY) as feed:
        found, problem = await _find_node(feed, node)
        if not found:
            print(msgspec.json.encode(Unreachable(detail=problem)).decode(), file=out, flush=True)
            return NO_DAEMON
        reply = await feed.command(found, name, arguments, why, by=by, timeout_s=timeout_s)
    print(msgspec.json.encode(reply).decode(), file=out, flush=True)
    return DONE if reply.state == "done" else REFUSED


async def status(
    address: BrokerAddress | AddressSource,
    *,
    node: str | None = None,
    json: bool = False,
    timeout_s: float = FIND_S,
    out: TextIO | None = None,
    notes: TextIO | None = None,
) -> int:
    """Print how every daemon stands, as a table or as JSON lines. Exit code: 0 all serve, 1 one does not, 3 none is
    online. `timeout_s`: how long to wait for what is missing, once the broker is reached.

    Raises ValueError for a bad node name.
    """
    async with MqttFeed(address, node) as feed:
        runs = await _hear(feed, timeout_s)
        found = standings(feed.statuses, feed.policies, feed.metrics, runs)
        reached = bool(_online(feed))
        if not reached:
            _say(_missing(feed, node), notes or sys.stderr)
    for line in rows(found) if json else lines(found) if found else ():
        print(line, file=out or sys.stdout, flush=True)
    if not reached:
        return NO_DAEMON
    return DONE if all(one.serving for one in found) else NOT_SERVING


async def _hear(feed: MqttFeed, timeout_s: float) -> dict[str, RunState]:
    """Listen until every daemon that is online has said how it is, or for `timeout_s`; the runs' states, by node."""
    runs: dict[str, RunState] = {}
    now_s = asyncio.get_running_loop().time
    ends_s = now_s() + CONNECT_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(ends_s) as limit:
            async for message in feed:
                if isinstance(message, Connection):
                    ends_s = now_s() + timeout_s
                elif isinstance(message, NodeKeyframe):
                    runs[message.node] = message.keyframe.state
                online = {name for name, status in feed.statuses.items() if status.online}
                complete = online and online <= runs.keys() & feed.metrics.keys() & feed.policies.keys()
                limit.reschedule(min(ends_s, now_s() + OTHERS_S) if complete else ends_s)
    return runs


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
    online = _online(feed)
    if not feed.connected:
        return "", f"no connection to the broker: {feed.why_lost}"
    if node is not None or not online:
        return "", f"no daemon{f' named {node!r}' if node else ''} is online at this broker"
    if len(online) > 1:
        return "", f"{len(online)} daemons are online: {', '.join(online)}; choose one with --node"
    return online[0], ""
