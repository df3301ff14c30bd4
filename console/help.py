"""`?`: what the focused thing is and which keys work now, read from the bindings themselves."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Protocol, runtime_checkable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static


@runtime_checkable
class Helpable(Protocol):
    """Anything that can say what it is in a few sentences."""

    help_text: str


def help_content(screen: Screen[object]) -> Content:
    """Words about the focused widget and the screen, then every key of ours that works on it now."""
    told = [thing.help_text for thing in (screen.focused, screen) if isinstance(thing, Helpable) and thing.help_text]
    keys: dict[str, tuple[str, str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip:
            keys.setdefault(binding.action, (screen.app.get_key_display(binding), binding.tooltip))
    keys["move"] = ("tab", "the next panel; arrows, page up, page down, home and end move within one")
    keys["palette"] = ("^p", "everything by name")
    rows = [Content.assemble((f"{key:>8}  ", "bold $accent"), words) for key, words in keys.values()]
    return Content("\n").join([*(Content(f"{text}\n") for text in told), *rows])


class HelpScreen(ModalScreen[None]):
    """Any of the closing keys goes back."""

    BINDINGS = [Binding("escape,q,question_mark,enter", "dismiss", "close")]

    def __init__(self, content: Content, title: str) -> None:
        super().__init__()
        self._content, self._title = content, title

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as panel:
            panel.border_title = self._title
            panel.border_subtitle = "esc closes"
            yield Static(self._content)
