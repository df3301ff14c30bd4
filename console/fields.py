"""Everything an event says, in one line."""

from __future__ import annotations

import msgspec

from .event_log import LogLine
from .words import printable


def fields_of(line: LogLine) -> str:
    """Everything an event says, as name=value; prompt hashes by their length only, lists only where there is one."""
    told = msgspec.structs.asdict(line.event)
    worded = (f"{name}={_value(value)}" for name, value in told.items() if name != "t_ns" and value != ())
    return printable(f"#{line.seq} {line.kind}  " + "  ".join(worded))


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
