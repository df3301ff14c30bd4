"""The daemon's end of the link: a ROUTER for the engine's plug-in, on asyncio.

The engine comes and goes (it is restarted); the one that said Hello last is the one that gets the orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from radixdeck.policies.events import EngineEvent, EventsDropped

from .engine.protocol import Answer, EventsSent, FromEngine, Hello, Order

log = logging.getLogger(__name__)

ORDER_TIMEOUT_S = 5.0
BURST = 200
"""Frames taken before others on the event loop get their turn."""
PATIENCE_S = 0.015
"""How long frames lie: what the engine reports at the end of a request comes just when its answer passes through the
front, which nobody should wait for; and many frames are taken at the price of one. Not while
an order waits for its answer; the answer to one that is given while frames lie already waits up to this long."""

LOOK_S = 1.0
"""Frames are looked for this often though nothing says that there are any: others on the loop may take the descriptor
for one of theirs that had its number and is closed (aiomqtt listens, and stops to, some time after it decided to)."""


class LinkError(RuntimeError):
    """An order could not be given, or was not answered in time. The message says which and why."""


class EngineLink:
    """Binds `endpoint`. `on_events(first_seq, events)` gets the engine stream in order, with an EventsDropped wherever
    events are missing; `on_hello` every engine that connects. Both run on the event loop and must not block."""

    def __init__(
        self,
        endpoint: str,
        on_events: Callable[[int, list[EngineEvent]], None],
        on_hello: Callable[[Hello], None],
    ) -> None:
        self._endpoint = endpoint
        self._on_events = on_events
        self._on_hello = on_hello
        # A plain socket, not zmq.asyncio's: a send has to say at once whether anybody took it.
        self._socket: Any = None
        self._readable = asyncio.Event()
        self._peer: bytes | None = None
        self._pid = 0
        self._next_seq = -1
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._decoder: msgspec.json.Decoder[FromEngine] = msgspec.json.Decoder(FromEngine)
        self.garbage_frames = 0

    @property
    def connected(self) -> bool:
        """Whether an engine said Hello and has not been found gone since."""
        return self._peer is not None

    def new_id(self) -> str:
        """A fresh order id."""
        return uuid.uuid4().hex

    async def run(self) -> None:
        """Receive until cancelled. Raises LinkError if the endpoint cannot be bound."""
        loop = asyncio.get_running_loop()
        context = zmq.Context()
        socket: Any = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.LINGER, 0)
        try:
            self._bind(socket)
            self._socket = socket
            # Who closes a descriptor that the loop still listens to leaves its number behind: the next one of that
            # number would be taken for listened to, and never be.
            loop.remove_reader(socket.fileno())
            while True:
                self._receive(socket)
                # Not listened to while frames lie: the descriptor stays readable, and would wake the loop all the time.
                loop.add_reader(socket.fileno(), self._readable.set)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._readable.wait()
                loop.remove_reader(socket.fileno())
                # At least 0: a steady stream of frames must not keep the loop from everybody else.
                await asyncio.sleep(0 if self._waiting else PATIENCE_S)
        finally:
            if self._socket is not None:
                loop.remove_reader(socket.fileno())
            self._socket = None
            self._forget("the link was closed")
            socket.close()
            context.term()

    def _receive(self, socket: Any) -> None:
        """Take what is there, at most BURST frames at once."""
        self._readable.clear()
        for _ in range(BURST):
            try:
                peer, *frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(peer, b"".join(frames))
        self._readable.set()

    async def order(self, order: Order, timeout_s: float = ORDER_TIMEOUT_S) -> Answer:
        """Give an order and wait for its answer. Raises LinkError if no engine is connected or none answers in time."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[order.id] = future
        try:
            if not self.send(order):
                raise LinkError("the engine is too busy to take orders" if self.connected else "no engine is connected")
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            kind = type(order).__name__
            raise LinkError(
                f"the engine did not answer order {kind} {order.id} within {timeout_s:g} s and will not obey it"
            ) from None
        finally:
            self._waiting.pop(order.id, None)

    def send(self, order: Order) -> bool:
        """Give an order without waiting for its answer. Returns whether an engine was there to take it."""
        if self._socket is None or self._peer is None:
            return False
        frames = [self._peer, msgspec.json.encode(order)]
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            log.warning("the engine does not take orders at the moment")
            return False
        except zmq.ZMQError as error:
            log.warning("the engine is gone: %s", error)
            self._forget("the engine went away")
            return False
        finally:
            # ZMQ signals its descriptor once per change, and a send takes that signal too: look for frames after it.
            self._readable.set()
        return True

    def _bind(self, socket: Any) -> None:
        try:
            socket.bind(self._endpoint)
        except zmq.ZMQError as error:
            raise LinkError(f"cannot listen at {self._endpoint}: {error}") from error

    def _take(self, peer: bytes, frame: bytes) -> None:
        try:
            message = self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.garbage_frames += 1
            log.warning("frame of no known kind or shape (%d so far): %s", self.garbage_frames, error)
            return
        match message:
            case Hello():
                self._greet(peer, message)
            case EventsSent():
                self._take_events(peer, message)
            case Answer():
                future = self._waiting.get(message.id)
                if future is not None and not future.done():
                    future.set_result(message)

    def _greet(self, peer: bytes, hello: Hello) -> None:
        if peer != self._peer:
            self._forget("the engine connected anew")
        if hello.pid != self._pid:
            self._next_seq = -1
        self._peer, self._pid = peer, hello.pid
        self._on_hello(hello)

    def _take_events(self, peer: bytes, sent: EventsSent) -> None:
        if peer != self._peer or not sent.events:
            return
        events = sent.events
        missing = sent.first_seq - self._next_seq
        if self._next_seq >= 0 and missing > 0 and not isinstance(events[0], EventsDropped):
            events = [EventsDropped(t_ns=events[0].t_ns, count=missing), *events]
        self._next_seq = sent.first_seq + len(sent.events)
        self._on_events(sent.first_seq, events)

    def forget_engine(self, why: str) -> None:
        """No engine is connected until one says Hello; what it has sent so far is taken. Orders without an answer fail
        with `why`."""
        if self._socket is not None:
            self._receive(self._socket)
        self._forget(why)

    def _forget(self, why: str) -> None:
        self._peer = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkError(why))
