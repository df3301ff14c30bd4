"""One line to type a filter into: hidden until asked for, out of the way when done."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input


class FilterBar(Input):
    """Typing filters at once (Input.Changed); enter keeps the filter and gives the focus back."""

    help_text = "Type to filter; enter keeps it, escape clears it."

    def __init__(self) -> None:
        super().__init__(placeholder="filter", compact=True, id="filter")
        self.display = False
        self._before: Widget | None = None

    def ask(self, query: str) -> None:
        """Open with the filter in force."""
        self._before = self.screen.focused
        self.display = True
        self.value = query
        self.focus()

    def put_away(self) -> None:
        """Clear and hide."""
        self.value = ""
        self._give_back()

    def on_input_submitted(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self.display = False
        if self._before is not None:
            self._before.focus()
