"""Whatever has a first and a last place that a key goes to."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class HasEnds(Protocol):
    """A list, a tree, a map."""

    def action_ends(self, direction: int) -> None:
        """To the first place (below 0) or the last."""
