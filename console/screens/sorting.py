"""A screen whose list is sorted by one of several things, in turn."""

# Textual types `.control` as a DataTable of unknown cells.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding
from textual.widgets import DataTable

from ..widgets.table import SyncTable
from .base import DeckScreen


def sort_keys() -> list[Binding]:
    """The keys that choose."""
    return [
        Binding("s", "sort", "sort", tooltip="sort by the next column", id="view.sort"),
        Binding("S", "sort(-1)", show=False, tooltip="sort by the column before", id="view.sort_back"),
    ]


class SortingScreen(DeckScreen):
    """Holds which of `sorted_by` it is. `headers`: what a column sorts by, where that is not its title."""

    sorted_by: ClassVar[tuple[str, ...]] = ()
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._sort = 0

    def action_sort(self, places: int = 1) -> None:
        self._sort = (self._sort + places) % len(self.sorted_by)
        self.refresh_state(tables=True)

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A click on a header sorts by that column, where it can."""
        table = event.control
        title = table.title_of(event.column_index) if isinstance(table, SyncTable) else ""
        wanted = self.headers.get(title, title)
        if wanted in self.sorted_by:
            self._sort = self.sorted_by.index(wanted)
            self.refresh_state(tables=True)
