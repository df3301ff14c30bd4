"""A screen whose list is sorted by one of several things, in turn."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding

from .base import DeckScreen


def sort_keys() -> list[Binding]:
    """The keys that choose."""
    return [
        Binding("s", "sort", "sort", tooltip="sort by the next column", id="view.sort"),
        Binding("S", "sort(-1)", show=False, tooltip="sort by the column before", id="view.sort_back"),
    ]


class SortingScreen(DeckScreen):
    """Holds which of `sorted_by` it is."""

    sorted_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self._sort = 0

    def action_sort(self, places: int = 1) -> None:
        self._sort = (self._sort + places) % len(self.sorted_by)
        self.refresh_state(tables=True)
