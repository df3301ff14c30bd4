"""Has the engine tell its tree anew after events were lost, or residency stays wrong for the rest of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .engine.protocol import Order, Snapshot

RETRY_S = 1.0
"""Between two tries while nobody takes the order."""
PERIOD_S, LONGEST_PERIOD_S = 10.0, 80.0
"""Between two looks: twice as long after each that more losses followed, since a tree that does not fit the engine's
buffer loses events at every look."""


class LookAgain:
    """`send`: gives the engine an order and returns whether it was taken. `run` it in a task."""

    def __init__(self, send: Callable[[Order], bool]) -> None:
        self._send = send
        self._due = asyncio.Event()

    def events_are_missing(self) -> None:
        """A look is due, as soon as it can be."""
        self._due.set()

    async def run(self) -> None:
        """Until cancelled."""
        period_s = PERIOD_S
        while True:
            period_s = min(2 * period_s, LONGEST_PERIOD_S) if self._due.is_set() else PERIOD_S
            await self._due.wait()
            while not self._send(Snapshot("")):  # noqa: ASYNC110 - nobody says when it takes orders again
                await asyncio.sleep(RETRY_S)
            self._due.clear()
            await asyncio.sleep(period_s)
