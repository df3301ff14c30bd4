"""amqtt in our own event loop, for machines without mosquitto, with the holes of amqtt 0.12 closed.

As it comes, amqtt sends retained messages to whoever connects, keeps refused clients, and queues without limit for a
subscriber that does not read. It speaks MQTT 3.1.1 only.
"""
# amqtt has no type information.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
import hmac
import logging
from functools import partial
from typing import Any, Self

from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig

from .wire import ROOT, BrokerAddress
from .wire_client import BrokerError

MAX_BACKLOG_BYTES = 8 << 20


class _SafeBroker(Broker):
    """amqtt's broker with one user, all topics below our root, and bounded backlogs."""

    def __init__(self, config: BrokerConfig, username: str, password: str) -> None:
        super().__init__(config)
        self._credentials = f"{username}\0{password}".encode()
        self._backlog_bytes: dict[str, int] = {}
        self._sending: set[asyncio.Task[Any]] = set()
        self.dropped = 0

    def port(self) -> int:
        server: Any = self._servers["default"].instance
        return int(server.sockets[0].getsockname()[1])

    async def _authenticate(self, session: Any, _: Any) -> bool:
        given = f"{session.username or ''}\0{session.password or ''}".encode()
        return hmac.compare_digest(given, self._credentials)

    async def _handle_client_session(
        self, reader: Any, writer: Any, client_session: Any, handler: Any, server: Any, listener_name: str
    ) -> None:
        await super()._handle_client_session(reader, writer, client_session, handler, server, listener_name)
        # A refused client stays in amqtt's table for ever otherwise.
        known = self._sessions.get(client_session.client_id)
        if known is not None and known[0] is client_session and not await self._authenticate(client_session, None):
            del self._sessions[client_session.client_id]

    async def _topic_filtering(self, session: Any, topic: str, action: Action) -> bool:
        return action != Action.PUBLISH or topic.startswith(f"{ROOT}/")

    async def _publish_retained_messages_for_subscription(self, subscription: tuple[str, int], session: Any) -> None:
        """Only to those who subscribed to it: amqtt asks this for every filter anybody has."""
        if any(known.client_id == session.client_id for known, _ in self._subscriptions.get(subscription[0], [])):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def _run_broadcast(self, running_tasks: Any) -> None:
        """Deliver one message; a subscriber whose backlog is full misses it."""
        message = await self._broadcast_queue.get()
        topic, data = message["topic"], message["data"]
        for topic_filter, subscribers in self._subscriptions.items():
            if not self._matches(topic, topic_filter):
                continue
            for session, qos in subscribers:
                handler = self._get_handler(session)
                if handler is not None and session.transitions.state == "connected":
                    self._deliver(str(session.client_id), handler, topic, data, message.get("qos", qos))

    def _deliver(self, client_id: str, handler: Any, topic: str, data: bytes, qos: int) -> None:
        backlog = self._backlog_bytes.get(client_id, 0)
        if backlog + len(data) > MAX_BACKLOG_BYTES:
            self.dropped += 1
            return
        self._backlog_bytes[client_id] = backlog + len(data)
        task = asyncio.ensure_future(handler.mqtt_publish(topic, data, qos, retain=False))
        self._sending.add(task)
        task.add_done_callback(partial(self._delivered, client_id, len(data)))

    def _delivered(self, client_id: str, size: int, task: asyncio.Task[Any]) -> None:
        self._sending.discard(task)
        left = self._backlog_bytes.pop(client_id, 0) - size
        if left:
            self._backlog_bytes[client_id] = left
        if not task.cancelled():
            # A subscriber that went away in the middle is no news; asking is what keeps asyncio from reporting it.
            task.exception()


class AmqttBroker:
    """A broker in this event loop, on a free loopback port."""

    def __init__(self, broker: _SafeBroker, address: BrokerAddress) -> None:
        self.address = address
        self._broker = broker

    @classmethod
    async def start(cls, username: str, password: str, port: int = 0) -> Self:
        """Listen. Raises BrokerError if it cannot."""
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        listener = ListenerConfig(bind=f"127.0.0.1:{port}")
        broker = _SafeBroker(BrokerConfig(listeners={"default": listener}, plugins={}), username, password)
        try:
            await broker.start()
        except Exception as error:
            raise BrokerError(f"amqtt does not start: {error}") from error
        address = BrokerAddress(
            host="127.0.0.1", port=broker.port(), username=username, password=password, v5=False, kind="amqtt",
            max_packet_bytes=MAX_BACKLOG_BYTES,
        )  # fmt: skip
        return cls(broker, address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broker.shutdown()
