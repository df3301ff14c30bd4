"""What transcripts tell of each tool: how often it was called, how often again with the same arguments, and whether it
then said the same. Only digests are kept."""

from __future__ import annotations

import msgspec

from ..bounded import Bounded
from ..doorkeeping import ToolUse
from ..identity.prompts import digest
from .canonical import NotCanonical, canonical

MAX_TOOLS, MAX_CALLS = 512, 4_096


class Watched(msgspec.Struct):
    """Counts of one tool. `distinct`: calls with arguments not seen of late; `same`, `different`: calls that repeated
    one of the same agent within the time that was looked back, by whether the result was the same."""

    calls: int = 0
    failed: int = 0
    distinct: int = 0
    same: int = 0
    different: int = 0


class Watch:
    """Counts by tool; the tools and calls of late only."""

    def __init__(self, max_tools: int = MAX_TOOLS, max_calls: int = MAX_CALLS) -> None:
        self.tools: Bounded[str, Watched] = Bounded(max_tools)
        self._last: Bounded[bytes, tuple[bytes, float]] = Bounded(max_calls)

    def saw(self, use: ToolUse, whose: tuple[str, str], t_s: float, window_s: float) -> Watched:
        """Count one call of an agent (`whose`: tenant and agent); returns its tool's counts."""
        counts = self.tools.get(use.tool) or self.tools.put(use.tool, Watched())
        counts.calls += 1
        if use.failed:
            counts.failed += 1
            return counts
        try:
            key = digest(canonical([use.tool, *whose, use.arguments]), size=16)
        except NotCanonical:
            counts.distinct += 1
            return counts
        last = self._last.get(key)
        self._last.put(key, (use.result, t_s))
        if last is None:
            counts.distinct += 1
        elif 0 <= t_s - last[1] < window_s:
            counts.same += last[0] == use.result
            counts.different += last[0] != use.result
        return counts
