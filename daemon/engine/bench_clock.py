"""The clocks of the cost benchmark: CPU time of the thread that works, with and without garbage collections.

A collection begins when some 700 objects were made since the last one, whoever made them, SGLang's tree among others.
An operation that makes many pays for its own. But one that makes a few, such as noting an event, would now and then pay
for hundreds of others, and a collection takes a hundred times as long as it: the same code was found to cost 2.7 or
4.9 µs on the mean, by where the count stood.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable
from typing import Any


class Collections:
    """CPU time of this thread that garbage collections took, seconds, since this was made."""

    def __init__(self) -> None:
        self.total_s = self._begun_s = 0.0
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun_s = time.thread_time()
        else:
            self.total_s += time.thread_time() - self._begun_s


collected = Collections()


def clock_s() -> float:
    """CPU time of this thread, seconds: what else runs on the machine does not count."""
    return time.thread_time()


def event_clock_s() -> float:
    """The same without collections, for what is done for one event."""
    return time.thread_time() - collected.total_s


@functools.cache
def reading_s(clock_s: Callable[[], float]) -> float:
    """What reading a clock costs: taken off every lap."""
    laps_s: list[float] = []
    for _ in range(2_001):
        begun_s = clock_s()
        laps_s.append(clock_s() - begun_s)
    return sorted(laps_s)[1_000]


class Laps:
    """Adds up the CPU time spent in some methods of some objects, until they are released again."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._timed: list[tuple[Any, str]] = []

    def time(self, owner: Any, *names: str) -> None:
        for name in names:
            setattr(owner, name, self._around(getattr(owner, name)))
            self._timed.append((owner, name))

    def release(self) -> None:
        for owner, name in self._timed:
            delattr(owner, name)

    def _around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun_s = clock_s()
            try:
                return method(*args, **kwargs)
            finally:
                self.total_s += clock_s() - begun_s - reading_s(clock_s)

        return timed
