"""One clock for event times: UTC nanoseconds anchored once and advanced by the monotonic clock, so that a wall clock
that jumps (NTP, suspend, an operator) never reorders a recording."""

from __future__ import annotations

import time

_ANCHOR_NS = time.time_ns() - time.monotonic_ns()


def now_ns() -> int:
    """UTC nanoseconds, never going backwards within this process."""
    return _ANCHOR_NS + time.monotonic_ns()
