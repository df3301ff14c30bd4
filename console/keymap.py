"""The keys that work on every screen, each under a name that a settings file can give another key to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from .dialogs import Ask, Confirm
from .help import HelpScreen
from .key_check import Behind, NamedKeys, by_name, check_keys
from .replay_keys import REPLAY_BINDINGS
from .screens.agent import AgentScreen
from .screens.agents import AgentsTable
from .screens.anchor import AnchorScreen
from .screens.base import MODES, DeckScreen, key_of
from .screens.catalog import SCREENS
from .screens.chain import ChainScreen
from .screens.curve import CurveScreen
from .screens.decisions import DecisionsScreen, DecisionsTable
from .screens.filtering import FilteringScreen
from .screens.fleet import DaemonsTable
from .screens.harm import HurtsTable
from .screens.orders import OrdersScreen, OrdersTable
from .screens.policies import SwitchTable
from .screens.shadow import ShadowScreen
from .screens.whatif import CasesTable
from .settings import Settings, SettingsError
from .widgets.log_view import LogView
from .widgets.map_view import MapView
from .widgets.table import SyncTable
from .widgets.text_scroll import TextScroll
from .widgets.tree_view import TreeView
from .widgets.tunables import TunablesTable


def _screen(number: int, mode: str, words: str) -> Binding:
    told = f"{mode}: {words}"
    return Binding(key_of(number), f"switch_mode('{mode}')", mode, show=False, tooltip=told, id=f"screen.{mode}")


APP_BINDINGS: list[Binding] = [
    *(_screen(number, mode, words) for number, (mode, words) in enumerate(MODES.items(), 1)),
    *REPLAY_BINDINGS,
    Binding("left_parenthesis", "next_daemon(-1)", show=False, key_display="(", id="app.before",
            tooltip="the daemon before"),
    Binding("right_parenthesis", "next_daemon(1)", show=False, key_display=")", id="app.after",
            tooltip="the daemon after"),
    Binding("question_mark", "help", "help", key_display="?", id="app.help", tooltip="what is focused, and every key"),
    Binding("U", "orders", show=False, id="app.undo", tooltip="what operators did, and undo it"),
    Binding("W", "why", show=False, id="app.why", tooltip="say why: recorded with every order from now on"),
    Binding("g", "ends(-1)", show=False, id="app.first", tooltip="to the first line of what is focused"),
    Binding("G", "ends(1)", show=False, id="app.last", tooltip="to the last line of what is focused"),
    Binding("y", "copy", show=False, id="app.copy", tooltip="copy what is selected"),
    Binding("X", "export", show=False, id="app.export", tooltip="write what is listed to a file here"),
    Binding("ctrl+s", "export(True)", show=False, id="app.picture", tooltip="write a picture of the screen here"),
    Binding("ctrl+p", "command_palette", "palette", show=False, priority=True, id="app.palette",
            tooltip="everything by name"),
    Binding("q", "quit", "quit", id="app.quit", tooltip="leave; the daemon goes on"),
]  # fmt: skip


OPENED: tuple[type[DeckScreen], ...] = (
    AgentScreen, AnchorScreen, ChainScreen, CurveScreen, DecisionsScreen, OrdersScreen, ShadowScreen,
)  # fmt: skip
"""Screens that are opened over another one."""
DIALOGS: tuple[type[Screen[Any]], ...] = (Confirm, Ask, HelpScreen)
"""Over a screen, and nothing of it works meanwhile."""
WIDGETS: tuple[type[Widget], ...] = (
    AgentsTable, CasesTable, DaemonsTable, DecisionsTable, HurtsTable, LogView, MapView, OrdersTable, SwitchTable,
    SyncTable, TextScroll, TreeView, TunablesTable,
)  # fmt: skip
"""Whatever is focused on a screen and has keys of its own."""


def own_bindings(owner: type[DOMNode]) -> list[Binding]:
    """The bindings of a screen or widget and of what it is made from, without those of Textual, which have no name."""
    made = [one for base in owner.__mro__ for one in vars(base).get("BINDINGS", ()) if isinstance(one, Binding)]
    return [one for one in made if one.id]


def screens() -> list[type[DOMNode]]:
    """Every screen: those with a mode of their own, and those that are opened over them."""
    return [*(one for one in SCREENS.values() if isinstance(one, type)), *OPENED]


def scopes() -> Iterator[list[Binding]]:
    """What can work at the same time: the app, a screen and what is focused on it; or a dialog alone."""
    for screen in screens():
        for widget in WIDGETS:
            yield [*APP_BINDINGS, *own_bindings(screen), *own_bindings(widget)]
    yield from (own_bindings(dialog) for dialog in DIALOGS)


def taken_by(focused: type[Widget]) -> dict[str, str]:
    """The keys without a name of ours that a widget has from Textual, with what they do: nothing can move them."""
    found: dict[str, str] = {}
    for base in reversed(focused.__mro__):
        for one in Binding.make_bindings(vars(base).get("BINDINGS", ())):
            found.pop(one.key, None)
            if not one.id:
                found[one.key] = one.description.lower() or one.action
    return found


@cache
def _named() -> list[NamedKeys]:
    return [by_name(scope) for scope in scopes()]


@cache
def _behind() -> list[Behind]:
    """What a key comes to after a list, the text of the help, or a line that is typed."""
    shown = by_name(one for screen in screens() for one in (*APP_BINDINGS, *own_bindings(screen)))
    clear = by_name(one for one in own_bindings(FilteringScreen) if one.id == "view.clear")
    return [
        *(Behind(shown, taken_by(widget)) for widget in WIDGETS),
        Behind(by_name(own_bindings(Ask)), taken_by(Input)),
        Behind(clear, taken_by(Input)),
        Behind(by_name(own_bindings(HelpScreen)), taken_by(VerticalScroll)),
    ]


def checked(settings: Settings, themes: Collection[str] = ()) -> Settings:
    """The settings, if their keys, and their theme among `themes` where there are any, are ones that this console has.
    Raises SettingsError."""
    if themes and settings.theme and settings.theme not in themes:
        raise SettingsError(f"theme: no {settings.theme!r}; known: {', '.join(sorted(themes))}")
    if settings.keys:
        check_keys(settings.keys, _named(), _behind())
    return settings


def key_lines(keys: Mapping[str, str]) -> Iterator[str]:
    """'view.sort      s      sort by the next column', a line per name and what it does, with the keys of a file."""
    told: dict[str, dict[str, Binding]] = {}
    for one in (one for scope in scopes() for one in scope):
        told.setdefault(one.id or "", {}).setdefault(one.tooltip or one.description, one)
    for name in sorted(told):
        for words, one in told[name].items():
            yield f"{name:<20} {keys.get(name, one.key):<28} {words}"
