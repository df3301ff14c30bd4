"""What every screen has: mode bar, status line, its own body, footer; and, where something is selected, the orders."""

# Textual types `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from ..commands import ACTS, Target
from ..export import as_csv
from ..fleet_state import NodeState
from ..key_words import called
from ..widgets.keys_line import KeysLine
from ..widgets.status_line import StatusLine
from ..widgets.table import SyncTable

if TYPE_CHECKING:
    from ..app import ConsoleApp

MODES: dict[str, str] = {
    "fleet": "one line per daemon",
    "residency": "whose tokens are in the KV cache",
    "agents": "every agent in numbers",
    "policies": "switch and tune",
    "events": "what happened and why",
    "timeline": "go through time",
    "harm": "evictions that hurt: who lost what to whom",
    "requests": "every request and where its time went",
    "transitions": "who follows whom, and how sure that is",
    "whatif": "the same requests under other policies or memory",
}
SHORT = {"residency": "map", "timeline": "time", "requests": "reqs", "transitions": "next", "whatif": "if"}
"""Names of the screens where there is little room."""
WIDE = 130
"""From this width on the whole names fit."""


def key_of(number: int) -> str:
    """The key of the screen with a number: 1 to 9, then 0."""
    return str(number % 10)


def back_key(words: str = "back", keys: str = "escape,backspace") -> Binding:
    """The key that leaves a screen which was opened over another one."""
    return Binding(keys, "app.pop_screen", "back", key_display="esc", tooltip=words, id="view.back")


class ModeBar(Static):
    """The screens with their numbers; the present one stands out. A click switches."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._mode = mode

    def on_resize(self, event: events.Resize) -> None:
        whole = event.size.width >= WIDE
        names = [self._entry(number, name, name if whole else SHORT.get(name, name)) for number, name in
                 enumerate(MODES, 1)]  # fmt: skip
        self.update(Content.from_markup(("[bold]radixdeck[/] " if whole else "") + "".join(names)))

    def _entry(self, number: int, name: str, called: str) -> str:
        here = name == self._mode
        gap = " " if self.size.width >= WIDE or here else ""
        words = f"{gap}{key_of(number)} {called} "
        return (
            f"[@click=app.switch_mode('{name}')]{'[reverse]' if here else ''}{words}{'[/reverse]' if here else ''}[/]"
        )


class DeckScreen(Screen[None]):
    """Draws what the app's FleetState holds. `mode`: its name among MODES; `help_text`: what `?` says about it;
    `private`: it shows text of prompts, and what is written of it is for its owner only; `ordering`: names of its keys,
    those of its parts among them, that give orders."""

    mode: ClassVar[str] = ""
    help_text: ClassVar[str] = ""
    private: ClassVar[bool] = False
    ordering: ClassVar[frozenset[str]] = frozenset()

    BINDINGS = [
        Binding("tab", "app.focus_next", "next panel", show=False, id="app.panel"),
        Binding("shift+tab", "app.focus_previous", "panel before", show=False, id="app.panel_back"),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-medium"), (150, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-short"), (30, "-middle"), (45, "-tall")]

    _composed = False

    @property
    def shown_mode(self) -> str:
        """The mode that the bar marks: for a screen opened over another one, that one's."""
        return self.mode

    @property
    def deck(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    @property
    def entry(self) -> NodeState | None:
        """The daemon looked at."""
        return self.deck.entry

    def key(self, name: str, usual: str) -> str:
        """See `called`."""
        return called(self.deck, name, usual)

    def compose(self) -> ComposeResult:
        yield ModeBar(self.shown_mode)
        yield StatusLine()
        with Container(id="body"):
            yield from self.body()
        yield KeysLine(compact=True, show_command_palette=False)
        yield Static("this window is too small: 60 columns and 16 rows are needed", id="too-small")

    def body(self) -> Iterable[Widget]:
        """The widgets of this screen."""
        return ()

    def on_mount(self) -> None:
        self._composed = True
        self.call_after_refresh(self.refresh_state, tables=True)

    def on_screen_resume(self) -> None:
        self.refresh_state(tables=True)

    def refresh_state(self, *, tables: bool) -> None:
        """Show the state as it is now; `tables`: also what is costly to draw and changes slowly. While the widgets are
        still being made, or taken down already, there is nothing to draw on."""
        if self._composed and self.is_attached and self.query(StatusLine):
            self.draw_state(tables=tables)

    def draw_state(self, *, tables: bool) -> None:
        """What every screen shows, then its own part. Numbers that change faster than twice a second are not read; and
        above a part that is drawn they would make a frame of everything between."""
        deck = self.deck
        lost = not (deck.fleet.connected and (self.entry is None or deck.fleet.is_live(self.entry)))
        if tables or lost != self.has_class("-lost") or deck.replay is not None:
            self.query_one(StatusLine).show(
                deck.fleet, self.entry, replay=deck.replay_words(), read_only=deck.read_only, why=deck.reason
            )
        self.set_class(lost, "-lost")
        if self.entry is not None:
            self.show_state(self.entry, tables=tables)
            if tables:
                self.call_after_refresh(self._show_rest)

    def _show_rest(self) -> None:
        if self.is_attached and self.entry is not None:
            self.show_rest(self.entry)

    def show_state(self, entry: NodeState, *, tables: bool) -> None:
        """Draw this screen's own part of the state."""

    def show_rest(self, entry: NodeState) -> None:
        """What is costly and can come after the rest is on the terminal: together they would hold up keys."""

    def open_for(self, action: str) -> None:
        """Show what one of its actions works on, for whoever asks for it from another screen."""

    def export(self) -> tuple[str, str]:
        """(suffix, text) of what this screen lists: its focused or first table as CSV."""
        table = self._table_in_use()
        return ("csv", as_csv(*table.content())) if table else ("", "")

    def copied(self) -> str:
        """What `y` copies: the row under the cursor of the focused or first table, the hidden columns too."""
        table = self._table_in_use()
        return table.row_words() if table else ""

    def words_in(self, *panels: str) -> str:
        """What is written in some panels, one after the other."""
        return "\n".join(str(self.query_one(panel, Static).content) for panel in panels)

    def turn(self, what: str, views: int) -> None:
        """From one of several views to the next, the last one to the first. The style sheet knows them by the class:
        none for the first, then `-what-1` and on."""
        classes = [f"-{what}-{view}" for view in range(1, views)]
        now = next((view for view, name in enumerate(classes, 1) if self.has_class(name)), 0)
        for view, name in enumerate(classes, 1):
            self.set_class(view == (now + 1) % views, name)
        self.call_after_refresh(self.refresh_state, tables=True)

    def _table_in_use(self) -> SyncTable | None:
        """The one that is focused, else the first."""
        tables = list(self.query(SyncTable))
        return next((table for table in tables if table.has_focus), tables[0] if tables else None)


class ActingScreen(DeckScreen):
    """A screen on which something is selected that orders can be given about."""

    ordering = frozenset(f"act.{act.name}" for act in ACTS)
    BINDINGS = [
        Binding(
            act.key, f"app.act('{act.name}')", act.name, tooltip=act.doc, show=act.key in "wpte", id=f"act.{act.name}"
        )
        for act in ACTS
    ]

    def target(self) -> Target | None:
        """What an order would be about now, None if nothing is selected."""
        return None

    def agent_target(self, agent: str) -> Target | None:
        stats = self.entry.run.agents.get(agent) if self.entry else None
        if stats is None:
            return None
        return Target(agent, pinned=stats.pinned, quarantined=stats.quarantined, retained=stats.retain_tokens > 0)
