"""How long the event loop is held at a stretch: each callback timed by its own processor time and by the wall clock.

The first does not depend on who else runs on the machine; a key waits for whatever slice is under way.
"""

from __future__ import annotations

import asyncio
import heapq
import time

KEPT = 20


class Slices:
    """`cpu_s`: of all callbacks; `longest_cpu_s` and `longest_s`: the KEPT longest ones, by either clock."""

    def __init__(self) -> None:
        self.number = 0
        self.cpu_s = 0.0
        self.longest_cpu_s: list[float] = []
        self.longest_s: list[float] = []

    def watch(self) -> None:
        """From now on, for as long as this process lives."""
        run = asyncio.Handle._run  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]

        def timed(handle: asyncio.Handle) -> None:
            began_s, began_cpu_s = time.monotonic(), time.thread_time()
            run(handle)
            self._note(time.thread_time() - began_cpu_s, time.monotonic() - began_s)

        asyncio.Handle._run = timed  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]

    def clear(self) -> None:
        """Forget what was so far."""
        self.number, self.cpu_s = 0, 0.0
        self.longest_cpu_s.clear()
        self.longest_s.clear()

    def _note(self, cpu_s: float, wall_s: float) -> None:
        self.number += 1
        self.cpu_s += cpu_s
        for longest, value in ((self.longest_cpu_s, cpu_s), (self.longest_s, wall_s)):
            if len(longest) < KEPT:
                heapq.heappush(longest, value)
            elif value > longest[0]:
                heapq.heapreplace(longest, value)
