"""When to start the engine again: soon after a loss, ever more slowly while it does not help."""

from __future__ import annotations

import random
import re

FIRST_S, LAST_S = 1.0, 60.0
MOST_DOUBLED = 10
HEALTHY_S = 60.0
"""After this long without a loss the next one is retried as the first."""
GIVE_UP_AFTER = 5
"""So many failed starts in a row for one reason count as a failure; it is still retried, every LAST_S."""


class Retry:
    """Waits that double from FIRST_S to LAST_S, with 20 % of jitter."""

    def __init__(self) -> None:
        self._losses = 0
        self._reason = ""
        self._same = 0

    def served(self, seconds: float) -> None:
        """The engine has served for so long since its start."""
        self._same = 0
        if seconds >= HEALTHY_S:
            self._losses = 0

    def start_failed(self, why: str, *, lasting: bool = False) -> bool:
        """A start failed. Whether it counts as failed for good: `lasting`, or tried often enough for one reason."""
        reason = re.sub(r"0x[0-9a-f]+|\d+", "#", why)
        self._same = self._same + 1 if reason == self._reason else 1
        if lasting:
            self._same = GIVE_UP_AFTER
        self._reason = reason
        return self._same >= GIVE_UP_AFTER

    def next_wait_s(self) -> float:
        """How long to wait before the start that follows. Each call counts as one more loss."""
        self._losses += 1
        if self._same >= GIVE_UP_AFTER:
            return LAST_S
        doubled = min(self._losses - 1, MOST_DOUBLED)  # an engine that fails for days is tried thousands of times
        return min(LAST_S, FIRST_S * 2**doubled) * random.uniform(0.8, 1.2)
