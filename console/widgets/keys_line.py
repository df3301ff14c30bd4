"""The keys that work now, in the last line. The one for help is always in sight, at the right end."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer


class KeysLine(Footer):
    """What does not fit is cut, and help says the rest."""

    def compose(self) -> ComposeResult:
        for shown in super().compose():
            shown.set_class(getattr(shown, "action", "") == "help", "-always")
            yield shown
