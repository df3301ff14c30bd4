"""Tells doorkeepers what became of requests, in the order in which it happened: at once, or a moment later where
somebody waits for the request or its answer and nobody for what is learned of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ..doorkeeping import BaseDoorkeeper, DoorFact, Doorkeeper
from ..primitives import wants

HEEDS_NOT = BaseDoorkeeper.notice
"""The default. One that passes calls on to another object may not have it in its class."""


class DoorFacts:
    """`failed`: told of a doorkeeper that raised, of its error and the second of the fact."""

    def __init__(self, failed: Callable[[str, Exception, float], None]) -> None:
        self._failed = failed
        self._waiting: deque[DoorFact] = deque()
        self.seat([])

    def seat(self, on: Sequence[tuple[str, Doorkeeper]]) -> None:
        """Those who are told from now on, by name, in this order."""
        self._on = on
        self._noting: dict[type[DoorFact], list[tuple[str, Doorkeeper]]] = {}

    def tell(self, fact: DoorFact) -> None:
        """Tell those that heed it, after what waits. Never raises."""
        self.settle()
        self._tell(fact)

    def tell_later(self, fact: DoorFact) -> bool:
        """Have it told before the next that is told at once, or by `settle`; whether nothing waited before."""
        self._waiting.append(fact)
        return len(self._waiting) == 1

    def settle(self) -> None:
        """Tell what waits. Never raises."""
        while self._waiting:
            self._tell(self._waiting.popleft())

    def _tell(self, fact: DoorFact) -> None:
        kind = type(fact)
        if (noting := self._noting.get(kind)) is None:
            noting = self._noting[kind] = [pair for pair in self._on if _notes(pair[1], kind)]
        for name, keeper in noting:
            try:
                keeper.notice(fact)
            except Exception as error:
                self._failed(name, error, fact.t_s)


def _notes(keeper: Doorkeeper, kind: type[DoorFact]) -> bool:
    """Whether it is told of such facts. One that keeps the default `notice` is told of none."""
    return getattr(type(keeper), "notice", None) is not HEEDS_NOT and wants(keeper, "notes", kind)
