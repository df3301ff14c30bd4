"""A screen whose list is filtered by a line of text."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Input

from ..widgets.filter_bar import FilterBar
from .base import DeckScreen


def filter_key(left: str) -> Binding:
    """The key that asks for the text; `left` says what is left then."""
    return Binding("slash", "filter", "filter", key_display="/", tooltip=left, id="view.filter")


class FilteringScreen(DeckScreen):
    """Holds the text, and asks for it with the FilterBar that its body has."""

    BINDINGS = [Binding("escape", "clear_filter", "clear the filter", show=False, id="view.clear")]

    def __init__(self) -> None:
        super().__init__()
        self._query = ""

    def action_filter(self) -> None:
        self.query_one(FilterBar).ask(self._query)

    def action_clear_filter(self) -> None:
        self.query_one(FilterBar).put_away()
        self._filter("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._filter(event.value)

    def _filter(self, query: str) -> None:
        """Show what has this text in it."""
        self._query = query
        self.refresh_state(tables=True)
