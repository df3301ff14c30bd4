"""How many things happened in which second of the last hour, in two arrays: 16 bytes a second in place of some 180."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

MAX_SECONDS = 3_600
FARTHEST = 2**62


class PerSecond:
    """In the order in which the seconds were first heard of; the first one makes room."""

    def __init__(self) -> None:
        self._seconds = array("q")
        self._numbers = array("q")
        self._latest = -FARTHEST

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, second: int) -> None:
        """One more; a second that no clock can tell is passed over."""
        if abs(second) > FARTHEST:
            return
        place = self._place(second)
        if place >= 0:
            self._numbers[place] += 1
            return
        self._latest = max(second, self._latest)
        self._seconds.append(second)
        self._numbers.append(1)
        if len(self._seconds) > MAX_SECONDS:
            del self._seconds[0], self._numbers[0]

    def items(self) -> Iterator[tuple[int, int]]:
        return zip(self._seconds, self._numbers, strict=True)

    def clear(self) -> None:
        del self._seconds[:], self._numbers[:]
        self._latest = -FARTHEST

    def _place(self, second: int) -> int:
        """Where a second is, -1 if nowhere: nearly always the last one, or a new one."""
        seconds = self._seconds
        if seconds and seconds[-1] == second:
            return len(seconds) - 1
        return seconds.index(second) if second <= self._latest and second in seconds else -1
