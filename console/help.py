"""`?`: what the focused thing is and which keys work now, read from the bindings themselves."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from .dialogs import first_keys
from .replay_keys import REPLAY_ACTIONS

HERE, RECORDING, EVERYWHERE = "here", "in a recording, on every screen", "on every screen"
CHANGED = "The words above name keys as they come; your settings give others. The list below is what works."


@runtime_checkable
class Helpable(Protocol):
    """Anything that can say what it is in a few sentences."""

    help_text: str


def help_content(screen: Screen[object], changed: Collection[str] = ()) -> RenderableType:
    """Words about the focused widget and the screen, then every key of ours that works on it now: those of what is in
    front, those of a recording, those that work everywhere. `changed`: names that have other keys."""
    told = [thing.help_text for thing in (screen.focused, screen) if isinstance(thing, Helpable) and thing.help_text]
    keys: dict[str, tuple[str, str, str]] = {}
    shown: dict[str, dict[str, None]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        # Textual has a key of its own for some of what ours do.
        if active.enabled and binding.tooltip and (binding.id or binding.action not in keys):
            replayed = binding.action.partition("(")[0] in REPLAY_ACTIONS
            group = RECORDING if replayed else EVERYWHERE if active.node is screen.app else HERE
            ours = shown.setdefault(binding.id or binding.action, {})
            ours[screen.app.get_key_display(binding)] = None
            keys[binding.action] = (group, " ".join(ours), binding.tooltip)
    panel = first_keys(screen).get("app.panel", "tab")
    keys["move"] = (EVERYWHERE, panel, "the next panel; arrows, page up, page down, home and end move within one")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style=f"bold {screen.app.theme_variables['accent']}", no_wrap=True)
    grid.add_column()
    for group in (HERE, RECORDING, EVERYWHERE):
        rows = [row[1:] for row in keys.values() if row[0] == group]
        if rows:
            grid.add_row("", Text(group if group == HERE else f"\n{group}", style="italic"))
        for key, words in rows:
            grid.add_row(Text(key), Text(words))
    remark = [Text(f"{CHANGED}\n", style="italic")] if changed else []
    return Group(*(Text(f"{text}\n") for text in told), *remark, grid)


class HelpScreen(ModalScreen[None]):
    """Any of the closing keys goes back."""

    BINDINGS = [Binding("escape,q,question_mark,enter", "dismiss", "close", id="dialog.close")]

    def __init__(self, content: RenderableType, title: str) -> None:
        super().__init__()
        self._content, self._title = content, title

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as panel:
            panel.border_title = self._title
            panel.border_subtitle = f"{first_keys(self)['dialog.close']} closes"
            yield Static(self._content)
