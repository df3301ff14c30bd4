"""The console's side of MQTT, without any screen: one or all nodes as a stream of typed messages, and commands.

async with MqttFeed(address) as feed:
    async for message in feed:
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import aiomqtt
import msgspec

from radixdeck.daemon.wire import (
    NODE_NAME,
    ROOT,
    AgentsTable,
    BrokerAddress,
    CommandName,
    EventBatch,
    Keyframe,
    Metrics,
    PoliciesTable,
    Reply,
    Status,
    WireError,
    decode,
    topic,
)
from radixdeck.daemon.wire_client import AddressSource, new_client, new_identifier, stay_connected
from radixdeck.daemon.wire_mailbox import Mailbox

from .feed_commands import Commands, Pending, new_command
from .feed_messages import (
    LEAVES,
    Connection,
    FeedMessage,
    NodeAgents,
    NodeCleared,
    NodeEvents,
    NodeKeyframe,
    NodeMetrics,
    NodePolicies,
    NodeStatus,
)
from .feed_sync import NodeSync

WATCH_EVERY_S = 5.0
RESYNC_EVERY_S = 0.5
LOOK_EVERY_S = 0.25
MAX_WAITING_EVENTS = 50_000


class _Head(msgspec.Struct):
    """As much of a keyframe as tells whether the rest is worth decoding."""

    run: str
    seq: int


class _Node:
    """What the feed knows of one node. `unsure`: something may have been missed unnoticed, so that a keyframe is wanted
    though no gap was seen; `asked_s`: when the node was last asked for keyframes, monotonic."""

    def __init__(self, name: str, *, keyframes: bool) -> None:
        self.sync = NodeSync(name, keyframes=keyframes)
        self.unsure = keyframes
        self.asked_s = -math.inf

    @property
    def wants_keyframe(self) -> bool:
        return self.unsure or self.sync.lost


class MqttFeed:
    """One or all nodes of a broker, as messages to iterate over; one reader.

    A node's events come exactly once and in order after its keyframe; when any are lost a new NodeKeyframe comes in
    their place. A reader that does not keep up gets the latest tables and a new keyframe, not a growing queue.
    `address` may be a function that says where the broker is now; it is asked before every connection.
    `statuses`, `agents`, `policies`, `metrics`: the latest of each node.

    `keyframes=False`: events only, from now on, with gaps where there are gaps. `leaves`: what is listened to beside
    replies.
    Raises ValueError if the node's name cannot be one.
    """

    def __init__(
        self,
        address: BrokerAddress | AddressSource,
        node: str | None = None,
        *,
        keyframes: bool = True,
        leaves: Sequence[str] = LEAVES,
    ) -> None:
        if node is not None:
            topic(node, "status")
        self.connected = False
        self.why_lost: str = "not connected yet"
        self.bad_payloads = 0
        self.bad_reason = ""
        self.statuses: dict[str, Status] = {}
        self.agents: dict[str, AgentsTable] = {}
        self.policies: dict[str, PoliciesTable] = {}
        self.metrics: dict[str, Metrics] = {}
        self._address: AddressSource = (lambda: address) if isinstance(address, BrokerAddress) else address
        self._only = node
        self._keyframes = keyframes
        self._leaves = leaves
        self._identifier = new_identifier("console")
        self._nodes: dict[str, _Node] = {}
        self._commands = Commands(self._identifier, self._send)
        self._inbox: Mailbox[FeedMessage | BaseException] = Mailbox(MAX_WAITING_EVENTS)
        self._client: aiomqtt.Client | None = None
        self._heard_s: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.connected, self.why_lost, self._client = False, "closed", None

    async def __aiter__(self) -> AsyncIterator[FeedMessage]:
        while True:
            message, _ = await self._inbox.get()
            if isinstance(message, BaseException):
                raise message
            yield message

    def silent_s(self, node: str) -> float:
        """Seconds since anything came from a node; infinite before the first."""
        return time.monotonic() - self._heard_s.get(node, -math.inf)

    @property
    def gaps(self) -> int:
        """How often events of any node were lost on the way, on this side's account."""
        return sum(node.sync.gaps for node in self._nodes.values())

    async def command(
        self,
        node: str,
        name: CommandName,
        arguments: dict[str, Any] | None = None,
        why: str = "",
        *,
        by: str = "",
        timeout_s: float = 10.0,
    ) -> Reply:
        """Send one command and wait until it is done or refused; no answer in time is a refused Reply too.

        The command expires with the waiting, so one that was given up is not carried out later.
        Raises ValueError for a node name that cannot be one.
        """
        reply = await self._commands.ask(node, name, arguments, why, by, timeout_s)
        if reply.state == "refused" and not self.connected:
            return msgspec.structs.replace(reply, detail=f"{reply.detail} (no broker: {self.why_lost})")
        return reply

    async def _send(self, pending: Pending) -> None:
        """Publish if there is a connection; what fails here is tried again."""
        if self._client is not None:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._client.publish(pending.where, pending.payload, qos=1)

    # ---- the connection ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await stay_connected(
            self._address, lambda address: new_client(address, self._identifier), self._session, self._lost
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._inbox.put(error)

    def _lost(self, why: str) -> None:
        changed = self.connected or why != self.why_lost
        self.connected, self.why_lost, self._client = False, why, None
        if changed:
            self._inbox.put(Connection(False, why), key="connection")

    async def _session(self, client: aiomqtt.Client) -> None:
        node = self._only or "+"
        await client.subscribe([(f"{ROOT}/{node}/{leaf}", 0) for leaf in self._leaves])
        await client.subscribe(f"{ROOT}/{node}/reply/{self._identifier}", qos=1)
        self.connected, self.why_lost, self._client = True, "", client
        self._inbox.put(Connection(True), key="connection")
        if self._only is not None:
            self._node(self._only)
        for known in self._nodes.values():
            known.unsure = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_watching(client))
            async for message in client.messages:
                unsure = self._receive(str(message.topic), message.payload)
                if unsure is not None:
                    await self._watch(client, unsure)

    async def _keep_watching(self, client: aiomqtt.Client) -> None:
        while True:
            for name in list(self._nodes):
                await self._watch(client, name)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _watch(self, client: aiomqtt.Client, name: str) -> None:
        """Ask for keyframes when it is time to, and for one at once if it is wanted."""
        node, status = self._nodes[name], self.statuses.get(name)
        every_s = RESYNC_EVERY_S if node.wants_keyframe else WATCH_EVERY_S
        offline = status is not None and not status.online
        if not self._keyframes or offline or time.monotonic() - node.asked_s < every_s:
            return
        node.asked_s = time.monotonic()
        command = new_command(self._identifier, "watch", {"resync": True} if node.wants_keyframe else {})
        await client.publish(topic(name, "command"), msgspec.json.encode(command), qos=0)

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def _node(self, name: str) -> _Node:
        return self._nodes.setdefault(name, _Node(name, keyframes=self._keyframes))

    def _receive(self, where: str, payload: Any) -> str | None:
        """Take in one message; the node's name if it has to be asked for a keyframe."""
        name, _, leaf = where.removeprefix(f"{ROOT}/").partition("/")
        if not payload:  # this is how MQTT clears a retained topic
            if leaf == "status" and name in self.statuses:
                self._inbox.put(NodeCleared(name))
            return None
        if not isinstance(payload, bytes) or not NODE_NAME.fullmatch(name):
            self._bad(f"{where}: not a topic of ours")
            return None
        self._heard_s[name] = time.monotonic()
        try:
            self._take(name, leaf, payload, where)
        except WireError as error:
            self._bad(str(error))
        node = self._nodes.get(name)
        return name if node is not None and node.wants_keyframe else None

    def _take(self, name: str, leaf: str, payload: bytes, where: str) -> None:
        if leaf == "events":
            batch: EventBatch = decode(EventBatch, payload, where)
            events = self._node(name).sync.on_batch(batch)
            self._show([events] if events is not None else [])
        elif leaf == "residency":
            self._take_keyframe(self._node(name), payload, where)
        elif leaf == "status":
            self._take_status(name, decode(Status, payload, where), where)
        elif leaf == "agents":
            table = self.agents[name] = decode(AgentsTable, payload, where)
            self._inbox.put(NodeAgents(name, table), key=where)
        elif leaf == "policies":
            policies = self.policies[name] = decode(PoliciesTable, payload, where)
            self._inbox.put(NodePolicies(name, policies), key=where)
        elif leaf == "metrics":
            metrics = self.metrics[name] = decode(Metrics, payload, where)
            self._inbox.put(NodeMetrics(name, metrics), key=where)
        else:
            self._commands.take(decode(Reply, payload, where))

    def _take_status(self, name: str, status: Status, where: str) -> None:
        before = self.statuses.get(name)
        self.statuses[name] = status
        if before is None or (before.online, before.run) != (status.online, status.run):
            self._node(name).unsure = True
        self._inbox.put(NodeStatus(name, status), key=where)

    def _take_keyframe(self, node: _Node, payload: bytes, where: str) -> None:
        head: _Head = decode(_Head, payload, where)
        if node.sync.is_news(head.run, head.seq):
            self._show(node.sync.on_keyframe(decode(Keyframe, payload, where)))
        node.unsure = False

    def _show(self, news: list[NodeEvents | NodeKeyframe]) -> None:
        """Hand on what is in order. If the reader is too far behind, its node starts again from a keyframe."""
        for message in news:
            weight = len(message.events) if isinstance(message, NodeEvents) else 1
            for dropped in self._inbox.put(message, weight=weight):
                if isinstance(dropped, NodeEvents | NodeKeyframe):
                    self._start_again(dropped.node)

    def _start_again(self, name: str) -> None:
        self._nodes[name].sync.forget()
        self._inbox.discard(lambda m: isinstance(m, NodeEvents | NodeKeyframe) and m.node == name)

    def _bad(self, reason: str) -> None:
        self.bad_payloads += 1
        self.bad_reason = reason
