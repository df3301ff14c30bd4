"""When tables are fitted again, and whether a fit is worth working out before somebody asks."""

from __future__ import annotations

EVERY = 24
"""Dispatches between two fits of the tables, once there are some; fewer at first."""
CHANGED_EVERY = 8
"""The same while other agents take slots over."""


class Fitting:
    """Counts dispatches between fits, and how many more fits are worth working out at once."""

    __slots__ = ("_at", "_every", "_left")

    def __init__(self) -> None:
        self._at = 0
        self._every = EVERY
        self._left = 0

    def is_due(self, dispatches: int) -> bool:
        return dispatches - self._at >= min(self._every, dispatches // 8 + 1)

    def hasten(self) -> None:
        """An agent took a slot over."""
        self._every = CHANGED_EVERY

    def restart(self) -> None:
        """Fit at the next dispatch."""
        self._at = 0

    def fitted(self, dispatches: int) -> None:
        """Where fits follow each other fast only the next one is worth it, for most of those nobody asks."""
        self._left = max(0, self._left - (3 if self._every < EVERY else 1))
        self._at = dispatches
        self._every = EVERY

    def asked(self) -> None:
        """Somebody asked for rates: the next few fits are worth it, as evictions come one after the other."""
        self._left = 4

    @property
    def in_demand(self) -> bool:
        """Whether somebody will likely ask for the latest fit."""
        return self._left > 0
