"""The engine's end of the link: a DEALER that is polled from the scheduler's loop and never blocks it.

Events wait in a bounded buffer. When the daemon is away or slow, the oldest are dropped and counted, and the count goes
out as an EventsDropped event in their place. The daemon may come and go; a Hello opens every connection.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from itertools import islice

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from radixdeck.policies.events import EngineEvent, EventsDropped

from .protocol import Answer, EventsSent, FromEngine, Hello, Order

log = logging.getLogger(__name__)

BATCH_EVENTS = 256
MAX_FRAMES_QUEUED = 256
LINGER_MS = 200
UNWRITABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError)
"""What an encoder raises of a value that it has no JSON for, such as a lone surrogate."""


class EngineSideLink:
    """Connects to the daemon's ROUTER at `endpoint`. All methods return at once."""

    def __init__(self, endpoint: str, rank: int = 0, max_buffered_events: int = 50_000) -> None:
        self._rank = rank
        self._capacity = max(1, max_buffered_events)
        self._events: deque[EngineEvent] = deque()
        self._next_seq = 0
        self._dropped = 0
        self._garbage = 0
        self._unwritable: set[type[EngineEvent]] = set()
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        self.socket.setsockopt(zmq.SNDHWM, MAX_FRAMES_QUEUED)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._connected = False
        self.socket.connect(endpoint)

    @property
    def unsent(self) -> int:
        """Events waiting to be sent."""
        return len(self._events)

    @property
    def dropped(self) -> int:
        """Events dropped and not yet reported."""
        return self._dropped

    def append(self, event: EngineEvent) -> None:
        """Queue an event; drops the oldest one when full."""
        if len(self._events) >= self._capacity:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._next_seq += 1

    def flush(self) -> None:
        """Hand over everything that the socket takes right now; the rest waits."""
        self._watch_connection()
        upto = BATCH_EVENTS
        while self._connected and self._events:
            batch, count = self._batch(upto)
            try:
                if not self._send(batch):
                    return
            except UNWRITABLE as error:
                upto = max(1, count // 2)  # halved until what cannot be written stands alone
                if count == 1:
                    self._drop_unwritable(error)
                continue
            self._dropped = 0
            for _ in range(count):
                self._events.popleft()
            upto = BATCH_EVENTS

    def answer(self, answer: Answer) -> None:
        """Answer an order, after the events that came before. An answer that nobody can take is dropped."""
        self.flush()
        if not self._send(answer):
            log.warning("radixdeck: nobody took the answer to order %s", answer.id)

    def orders(self) -> list[Order]:
        """The orders that arrived since the last call; garbage is counted and logged."""
        self._watch_connection()
        orders: list[Order] = []
        while (frame := self._receive()) is not None:
            try:
                orders.append(self._decoder.decode(frame))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._garbage += 1
                log.warning("radixdeck: order %d of no known kind or shape: %s", self._garbage, error)
        return orders

    def close(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close()
        self._context.term()

    def _batch(self, upto: int) -> tuple[EventsSent, int]:
        """The next frame and how many buffered events it takes, `upto` so many. EventsDropped carries the number of the
        last event that it stands for."""
        events = list(islice(self._events, upto))
        first_seq = self._next_seq - len(self._events)
        count = len(events)
        if self._dropped:
            events.insert(0, EventsDropped(t_ns=events[0].t_ns, count=self._dropped))
            first_seq -= 1
        return EventsSent(first_seq, events), count

    def _drop_unwritable(self, error: Exception) -> None:
        """The oldest event would hold up all that follow. Each kind is logged once."""
        event = self._events.popleft()
        self._dropped += 1
        if type(event) not in self._unwritable:
            self._unwritable.add(type(event))
            log.warning("radixdeck: a %s cannot be written and is dropped: %s", type(event).__name__, error)

    def _watch_connection(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            self._connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if self._connected:
                self._send(Hello(os.getpid(), self._rank))

    def _send(self, message: FromEngine) -> bool:
        try:
            self.socket.send(self._encoder.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _receive(self) -> bytes | None:
        try:
            return self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
