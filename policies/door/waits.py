"""How long answers took to begin of late: what is usual, and how much longer those take that are late already."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque

KEPT = 200


class Waits:
    """The last `KEPT` waits, seconds."""

    def __init__(self) -> None:
        self._in_order: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def see(self, wait_s: float) -> None:
        self._in_order.append(wait_s)
        insort(self._sorted, wait_s)
        if len(self._sorted) > KEPT:
            gone = self._in_order.popleft()
            del self._sorted[bisect_right(self._sorted, gone) - 1]

    def within_s(self, share: float) -> float:
        """The shortest time within which at least this share of them were over. There must be one at least."""
        return self._sorted[max(0, math.ceil(share * len(self._sorted)) - 1)]

    def longer_s(self, than_s: float) -> float:
        """By how much those were longer that were longer than that, on the mean; 0 if none was."""
        longer = self._sorted[bisect_right(self._sorted, than_s) :]
        return sum(longer) / len(longer) - than_s if longer else 0.0
