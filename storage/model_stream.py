"""The stream of a modelled engine: events as policies hear them, by the clock of a recording."""

from __future__ import annotations

from collections.abc import Callable

from radixdeck.policies.events import EngineEvent
from radixdeck.policies.host import PolicyHost


class ModelStream:
    """The engine stream with the recording's clock, see policies.observer.Stream. `take` is handed every event."""

    def __init__(self, host: PolicyHost, take: Callable[[EngineEvent], None]) -> None:
        self.host = host
        self._take = take
        self._now_ns = 0

    @property
    def event_ns(self) -> int:
        return self.host.now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, t_ns: int) -> None:
        """Time never runs backwards."""
        self._now_ns = max(self._now_ns, t_ns)

    def emit(self, event: EngineEvent) -> None:
        self._take(event)
        for fact in self.host.observe(event):
            self._take(fact)
