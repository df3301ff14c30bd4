"""Whatever has a first and a last place that a key goes to, and the keys that move in a list."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from textual.binding import Binding


@runtime_checkable
class HasEnds(Protocol):
    """A list, a tree, a map."""

    def action_ends(self, direction: int) -> None:
        """To the first place (below 0) or the last."""


def list_keys(up: str, down: str, page_up: str, page_down: str, end_words: str = "") -> list[Binding]:
    """The keys of a list from top to bottom, with the actions that its widget has for them. `end_words`: what the key
    to the end does besides."""
    return [
        Binding("up,k", up, "up", show=False, id="list.up"),
        Binding("down,j", down, "down", show=False, id="list.down"),
        Binding("pageup", page_up, "page up", show=False, id="list.page_up"),
        Binding("pagedown", page_down, "page down", show=False, id="list.page_down"),
        Binding("home", "ends(-1)", "first", show=False, id="list.first"),
        Binding("end", "ends(1)", "last", show=False, tooltip=end_words, id="list.last"),
    ]
