"""The daemon's side of MQTT: publishes what it is given without ever blocking, and hands commands to the daemon.

The broker may be slow, dead or hostile: the outbox is bounded, the connection comes back by itself, and on each new
connection the latest retained state is published again, since the broker may have forgotten it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiomqtt
import msgspec
import structlog

from .mqtt_commands import CommandDesk
from .mqtt_limit import PacketLimit
from .mqtt_namesake import Namesakes
from .wire import ROOT, BrokerAddress, Command, Reply, Status, topic
from .wire_client import GOODBYE_S, max_packet_bytes, new_client, new_identifier, stay_connected
from .wire_mailbox import Mailbox

MAX_OUTBOX_BYTES = 16 << 20
NUMBERED_LEAF = "events"
TOLD_BY_ALL = (f"{ROOT}/+/agents", f"{ROOT}/+/status")
"""In this order, so that of what the broker keeps of a node that is gone the last is that it is gone."""
HEARD_S = 2.0
"""For so long whoever asks for the tables of agents waits for those that the broker keeps."""

_log: Any = structlog.get_logger(__name__)


class _Outgoing(msgspec.Struct, frozen=True):
    leaf: str
    payload: bytes
    retain: bool = False
    qos: int = 0


class MqttLink:
    """One node's link. `run` it in a task; `publish` may be called before, and at any time.

    `connected`: whether the broker has us now. `dropped`: event batches and replies that no longer fitted the outbox;
    readers see the gap in the numbering. `bad_commands`: payloads that were no command. `on_others`: takes the name,
    the leaf and the payload of every table of agents and status of other nodes, whatever that holds, and at first the
    table that the broker kept of this node; `heard` is set once it was given all that the broker kept.
    Raises ValueError if the node's name cannot be one.
    """

    def __init__(
        self,
        address: BrokerAddress,
        node: str,
        on_command: Callable[[Command], Awaitable[Reply]],
        on_others: Callable[[str, str, Any], None] | None = None,
    ) -> None:
        self.connected = False
        self.dropped = 0
        self._address = address
        self._broker = f"{address.host}:{address.port}"
        self._why_lost: str = ""
        self._node = node
        self._command_topic, self._status_topic = topic(node, "command"), topic(node, "status")
        self._namesakes, self._limit = Namesakes(node), PacketLimit(address)
        self._identifier = new_identifier(node)
        self._retained: dict[str, _Outgoing] = {}
        self._outbox: Mailbox[_Outgoing] = Mailbox(MAX_OUTBOX_BYTES)
        self._desk = CommandDesk(on_command, self._reply)
        self._on_others = on_others
        self._farewell: list[_Outgoing] = []
        self._returns = True
        self.heard = asyncio.Event()

    @property
    def bad_commands(self) -> int:
        return self._desk.bad

    async def run(self) -> None:
        """Until cancelled. A clean end says goodbye; any other end is told by the last will."""
        try:
            await stay_connected(lambda: self._address, self._connect, self._session, self._lost)
        finally:
            self.connected = False
            await self._desk.close()

    def publish(self, leaf: str, payload: bytes, *, retain: bool = False, qos: int = 0) -> None:
        """Queue a payload for `radixdeck/v1/<node>/<leaf>` and return at once.

        Events and replies are kept in order, the oldest dropped when the broker is too slow; of every other leaf only
        the latest payload waits. Retained payloads are published again on every new connection.
        """
        self._put(_Outgoing(leaf, payload, retain, qos))

    async def wait_heard(self) -> None:
        """Until the broker was `heard`, for HEARD_S at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_S):
                await self.heard.wait()

    def leave_nothing(self, leaf: str, last: bytes) -> None:
        """At a clean end tell those who listen `last`, and have the broker keep nothing of the leaf."""
        self._farewell += [_Outgoing(leaf, last, qos=1), _Outgoing(leaf, b"", retain=True, qos=1)]

    def leave_no_trace(self) -> None:
        """Nobody will have this name again: at a clean end have the broker keep nothing of it."""
        self._returns = False

    def _put(self, item: _Outgoing) -> None:
        if item.retain:
            self._retained[item.leaf] = item
            # A new connection publishes all of these anyway.
            if not self.connected:
                return
        ordered = item.leaf == NUMBERED_LEAF or item.leaf.startswith("reply/")
        key = None if ordered else item.leaf
        self.dropped += len(self._outbox.put(item, key=key, weight=len(item.payload)))

    def _reply(self, client: str, reply: Reply) -> None:
        self._put(_Outgoing(f"reply/{client}", msgspec.json.encode(reply), qos=1))

    # ---- the connection ---------------------------------------------------------------------------------------------

    def _offline(self, detail: str) -> _Outgoing:
        status = Status(node=self._node, online=False, state="offline", detail=detail)
        return _Outgoing("status", msgspec.json.encode(status), retain=True, qos=1)

    def _connect(self, address: BrokerAddress) -> aiomqtt.Client:
        last = self._offline("the daemon is gone, without a goodbye")
        will = aiomqtt.Will(topic(self._node, "status"), last.payload, qos=1, retain=True)
        return new_client(address, self._identifier, will)

    def _lost(self, why: str) -> None:
        if self.connected or why != self._why_lost:
            _log.warning("no mqtt connection, trying again", broker=self._broker, why=why)
        self.connected, self._why_lost = False, why

    async def _session(self, client: aiomqtt.Client) -> None:
        self._limit.connected(max_packet_bytes(client))
        await client.subscribe(self._command_topic, qos=1)
        if self._on_others is None:
            await client.subscribe(self._status_topic)
        else:
            for told in TOLD_BY_ALL:
                await client.subscribe(told)
            # It comes back behind all that the broker keeps. What is empty is no table: nobody else heeds it.
            await client.publish(topic(self._node, "agents"), b"")
        self.connected, self._why_lost = True, ""
        _log.info("mqtt connected", broker=self._broker)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._publish_all(client))
                async for message in client.messages:
                    self._take(message)
        except asyncio.CancelledError:
            # In a task that is not cancelled: the client's calls leave one that is, after the first of them.
            await asyncio.create_task(self._say_goodbye(client))
            raise

    def _take(self, message: aiomqtt.Message) -> None:
        """One message of the broker. Never raises."""
        if str(message.topic) == self._command_topic:
            self._desk.receive(message.payload, retained=message.retain)
            return
        if str(message.topic) == self._status_topic:
            if self._namesakes.heard(message.payload, retained=message.retain):
                self._put(self._status())
            return
        node, _, leaf = str(message.topic).removeprefix(f"{ROOT}/").partition("/")
        if self._on_others is None:
            return
        if node != self._node:
            self._on_others(node, leaf, message.payload)
        elif leaf == "agents" and not message.payload:
            self.heard.set()
        elif leaf == "agents" and message.retain and not self.heard.is_set():
            self._on_others(node, leaf, message.payload)

    def _hello(self) -> list[_Outgoing]:
        """All retained state, status last: who sees the node online finds the rest in place."""
        return [item for leaf, item in self._retained.items() if leaf != "status"] + [self._status()]

    def _status(self) -> _Outgoing:
        online = Status(node=self._node, online=True, state="starting")
        return self._retained.get("status") or _Outgoing("status", msgspec.json.encode(online), retain=True)

    async def _publish_all(self, client: aiomqtt.Client) -> None:
        if self._on_others is not None:  # this node's own table is not to take the place of one that is not read yet
            await self.wait_heard()
        for item in self._hello():
            await self._send(client, item)
        while True:
            item, weight = await self._outbox.get()
            try:
                await self._send(client, item)
            except BaseException:
                if weight:
                    self._outbox.put_back(item, weight)
                raise

    async def _send(self, client: aiomqtt.Client, item: _Outgoing) -> None:
        where, payload = topic(self._node, item.leaf), item.payload
        if item.leaf == "status":
            payload = self._limit.said(self._namesakes.said(payload))
        before = self._limit.words
        held_back = self._limit.holds_back(item.leaf, where, payload)
        if self._limit.words != before:
            self._put(self._status())
        if not held_back:
            await client.publish(where, payload, qos=item.qos, retain=item.retain)

    def _last_words(self) -> list[_Outgoing]:
        """That it stopped; of a name that is not to stay, said to those who listen, the status cleared last of all."""
        stopped = self._offline("stopped")
        if self._returns:
            return [stopped]
        told = {item.leaf for item in self._farewell}
        leaves = [leaf for leaf in self._retained if leaf != "status" and leaf not in told]
        cleared = [_Outgoing(leaf, b"", retain=True, qos=1) for leaf in [*leaves, "status"]]
        return [msgspec.structs.replace(stopped, retain=False), *cleared]

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """What is queued goes out as far as there is time for it: that this node is offline has to be said."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S / 2):
                    while len(self._outbox):
                        await self._send(client, (await self._outbox.get())[0])
            async with asyncio.timeout(GOODBYE_S / 2):
                for item in [*self._farewell, *self._last_words()]:
                    await self._send(client, item)
        except (TimeoutError, aiomqtt.MqttError) as error:
            _log.info("no goodbye", why=str(error))
