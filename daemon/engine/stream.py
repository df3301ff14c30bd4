"""The engine stream at its source: every fact is stamped, handed to the link, and learned from by the policies.

Policies learn late: for a moment behind each batch whose answers are out, when the scheduler has nothing to do, when
somebody asks the host for anything, or when many facts wait. What they learn, in which order, and what follows from it
is the same as if they learned at once, but an answer does not wait for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from radixdeck.policies.events import EngineEvent, EngineStarted, PolicyFailed, PolicySwitched, TunableChanged
from radixdeck.policies.host import PolicyHost

from ..clock import now_ns

AT_ONCE = frozenset((EngineStarted, PolicySwitched, TunableChanged, PolicyFailed))
"""Facts that say who decides: what is said of them is to be true when it is said."""
MOST_UNHEARD = 256
"""So many facts wait at most: they take room, and whoever asks then waits until all are learned from."""
BETWEEN_S = 0.0005
"""What learning behind one batch may take, but for its last fact: without a GPU the next batch waits for it."""


class Stream:
    """Puts facts in order: the host observes them exactly as, and in the order in which, they are sent."""

    def __init__(self, host: PolicyHost, send: Callable[[EngineEvent], None]) -> None:
        self._host = host
        self._send = send
        self._unheard: deque[EngineEvent] = deque()

    @property
    def host(self) -> PolicyHost:
        """The host, having observed everything that was emitted."""
        self.settle()
        return self._host

    @property
    def event_ns(self) -> int:
        """The host's event clock."""
        return self._host.now_ns

    def now_ns(self) -> int:
        """UTC nanoseconds that never go backwards; see daemon/clock.py."""
        return now_ns()

    def emit(self, event: EngineEvent) -> None:
        decides = type(event) in AT_ONCE
        if decides:
            self.settle()  # what follows from earlier facts goes before it
        self._send(event)
        self._host.tick(event)
        self._unheard.append(event)
        if decides or len(self._unheard) >= MOST_UNHEARD:
            self.settle()

    def settle(self) -> None:
        """Let the host observe what waits, and send what follows from it."""
        while self._unheard:
            self._learn()

    def learn_some(self) -> None:
        """A moment between two batches: let the host observe some of what waits."""
        until_s = time.perf_counter() + BETWEEN_S
        while self._unheard and time.perf_counter() < until_s:
            self._learn()

    def catch_up(self) -> None:
        """A moment when nobody waits: let the host observe all, and work out what it will be asked for."""
        self.settle()
        for fact in self._host.catch_up():
            self._send(fact)

    def _learn(self) -> None:
        for fact in self._host.observe(self._unheard.popleft()):
            self._send(fact)
