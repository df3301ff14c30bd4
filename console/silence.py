"""When a daemon is not heard any more though the broker is: it ended while no broker could tell its last will, and its
retained status says for ever that it is online."""

from __future__ import annotations

SILENT_S = 15.0
"""Every node on the broker, MCP proxies too, tells its numbers once a second."""


def is_silent(heard_s: float, up_s: float, now_s: float) -> bool:
    """Whether nothing at all came of a node for SILENT_S. `heard_s`: when something last did; `up_s`: since when the
    broker is connected; all by the same clock, in seconds."""
    return now_s - max(heard_s, up_s) >= SILENT_S
