"""One clock for event times: UTC nanoseconds anchored once and advanced by the monotonic clock, so that a wall clock
that jumps (NTP, suspend, an operator) never reorders a recording.

The engine's processes start later than the daemon, so they are told its anchor: between two starts the wall clock may
have jumped, while monotonic time is one on a machine.
"""

from __future__ import annotations

import logging
import os
import re
import time

ENV_ANCHOR = "RADIXDECK_CLOCK_ANCHOR_NS"
"""UTC minus monotonic time, in nanoseconds, as the daemon took it. Absent: this process takes its own."""
_LAST_NS = (1 << 63) - 1

_log = logging.getLogger(__name__)


def _anchor(told: str) -> int:
    """What this process was told, or its own where that is no time at all."""
    own = time.time_ns() - time.monotonic_ns()
    if not told:
        return own
    if re.fullmatch("-?[0-9]{1,19}", told) and 0 <= int(told) + time.monotonic_ns() <= _LAST_NS:
        return int(told)
    _log.warning("%s=%.40s is not a time in nanoseconds: this process keeps a clock of its own", ENV_ANCHOR, told)
    return own


ANCHOR_NS = _anchor(os.environ.get(ENV_ANCHOR, ""))
"""UTC minus monotonic time of every `now_ns` in this process, nanoseconds."""


def now_ns() -> int:
    """UTC nanoseconds, never going backwards within this process."""
    return ANCHOR_NS + time.monotonic_ns()
