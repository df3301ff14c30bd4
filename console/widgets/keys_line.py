"""The keys that work now, in the last line. The one for help is always in sight, at the right end."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

if TYPE_CHECKING:
    from ..app import ConsoleApp
    from ..screens.base import DeckScreen

ALWAYS = "-always"
_Shown = tuple[Binding, bool, str, bool]
"""A key of the line, whether it works now, its tooltip, and whether orders can be given."""


class KeysLine(Footer):
    """As many keys as there is room for, each whole; help says the rest. Orders are not among them where none can be
    given: their keys say why."""

    _shows: list[_Shown] | None = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Textual says so whenever the focus moves. Only other keys than those in sight are worth making them anew,
        which costs more than most of what else is drawn."""
        if _shown(screen) != self._shows:
            super().bindings_changed(screen)

    def compose(self) -> ComposeResult:
        barred = frozenset[str]() if cast("ConsoleApp", self.app).acts else cast("DeckScreen", self.screen).ordering
        ordering = {one.binding.key for one in self.screen.active_bindings.values() if one.binding.id in barred}
        keys = [key for key in super().compose() if _of(key, "key") not in ordering]
        for key in keys:
            key.set_class(_of(key, "action") == "help", ALWAYS)
            key.set_class(self.compact, "-compact")  # once it is in sight, this looks through the style sheet again
        self._fit(keys)
        if keys:
            self._shows = _shown(self.screen)
        yield from keys

    def on_resize(self) -> None:
        self._fit(self.children)

    def _fit(self, keys: Iterable[Widget]) -> None:
        if not self.size.width:
            return
        room = self.size.width - sum(_width(key) for key in keys if key.has_class(ALWAYS))
        for key in keys:
            if not key.has_class(ALWAYS):
                room -= _width(key)
                key.display = room >= 0


def _shown(screen: Screen[object]) -> list[_Shown]:
    """All that decides what the line of a screen shows but for its width."""
    acts = cast("ConsoleApp", screen.app).acts
    active = screen.active_bindings.values()
    return [(one.binding, one.enabled, one.tooltip, acts) for one in active if one.binding.show]


def _of(key: Widget, fact: str) -> str:
    """What one of Textual's says of itself, which it does not type."""
    return str(getattr(key, fact, ""))


def _width(key: Widget) -> int:
    """'w warm ', with the gap behind it."""
    return len(_of(key, "key_display")) + len(_of(key, "description")) + 2
