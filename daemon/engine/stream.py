"""The engine stream at its source: every fact is stamped, learned from by the policies, and handed to the link."""

from __future__ import annotations

from collections.abc import Callable

from radixdeck.policies.events import EngineEvent
from radixdeck.policies.host import PolicyHost

from ..clock import now_ns


class Stream:
    """Puts facts in order: the host observes them exactly as, and in the order in which, they are sent."""

    def __init__(self, host: PolicyHost, send: Callable[[EngineEvent], None]) -> None:
        self.host = host
        self._send = send

    @staticmethod
    def now_ns() -> int:
        """UTC nanoseconds that never go backwards; see daemon/clock.py."""
        return now_ns()

    def emit(self, event: EngineEvent) -> None:
        self._send(event)
        for fact in self.host.observe(event):
            self._send(fact)
