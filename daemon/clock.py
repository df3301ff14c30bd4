"""One clock for event times: UTC nanoseconds anchored once and advanced by the monotonic clock, so that a wall clock
that jumps (NTP, suspend, an operator) never reorders a recording. And waiting for a while."""

from __future__ import annotations

import asyncio
import contextlib
import time

_ANCHOR_NS = time.time_ns() - time.monotonic_ns()


def now_ns() -> int:
    """UTC nanoseconds, never going backwards within this process."""
    return _ANCHOR_NS + time.monotonic_ns()


async def wait_set(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until `event` is set, or for `timeout_s`; clears it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    event.clear()
