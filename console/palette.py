"""Everything that has a key, by name: what works here and now, what works on another screen, and what is too rare."""

# Textual types `Screen` in its own signatures without its parameter.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from .acting import flush
from .commands import ACTS
from .key_words import shown
from .keymap import APP_BINDINGS, own_bindings
from .screens.base import MODES, ActingScreen, DeckScreen
from .screens.catalog import SCREENS

if TYPE_CHECKING:
    from .app import ConsoleApp

NAMED = ("switch_mode(", "app.act(", "orders", "export", "help", "quit", "command_palette")
"""Actions, by how they begin, that have a command of their own: here, or of Textual's."""


def commands(app: ConsoleApp, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Over `screen`."""
    keys = {one.id: f"; key {shown(app, one)}" for one in (*APP_BINDINGS, *own_bindings(ActingScreen))}
    for mode, words in MODES.items():
        yield SystemCommand(f"Go to {mode}", words + keys[f"screen.{mode}"], lambda mode=mode: app.switch_mode(mode))
    for node in app.fleet.nodes:
        yield SystemCommand(f"Look at {node}", "show this daemon", lambda node=node: app.look_at(node))
    for act in ACTS:
        yield SystemCommand(
            act.name.capitalize(), act.doc + keys[f"act.{act.name}"], lambda act=act: app.action_act(act.name)
        )
    yield SystemCommand("Flush", "empty the whole cache", lambda: flush(app))
    yield SystemCommand("Undo", "what operators did, and undo it" + keys["app.undo"], app.action_orders)
    yield SystemCommand("Export", "write what is listed to a file here" + keys["app.export"], app.action_export)
    yield SystemCommand(
        "Picture", "write a picture of the screen here" + keys["app.picture"], lambda: app.action_export(True)
    )
    yield from _here(app, screen)
    for mode, made in SCREENS.items():
        if isinstance(made, type) and not isinstance(screen, made):
            yield from _there(app, mode, made)


def _here(app: ConsoleApp, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """The keys that work now, of the app, the screen and what is focused on it."""
    mode = screen.mode if isinstance(screen, DeckScreen) else ""
    found: dict[str, SystemCommand] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and _is_listed(binding):
            owner, run = mode if active.node is not app else "", _run(app, binding.action, active.node)
            command = _command(app, binding, owner, run)
            # A widget may call its key what its screen calls another one: then the words are the name.
            alike = found.get(command.title)
            if alike is not None and alike.help != command.help:
                command = _command(app, binding, owner, run, called=binding.tooltip)
            found[command.title] = command
    yield from found.values()


def _there(app: ConsoleApp, mode: str, made: type[Screen[Any]]) -> Iterator[SystemCommand]:
    """The keys of a screen that is not in front."""
    for binding in vars(made).get("BINDINGS", ()):
        if isinstance(binding, Binding) and _is_listed(binding):
            yield _command(app, binding, mode, _go_and_run(app, mode, binding.action))


def _is_listed(binding: Binding) -> bool:
    return bool(binding.tooltip) and not binding.action.startswith(NAMED)


def _command(app: ConsoleApp, binding: Binding, owner: str, run: Callable[[], None], called: str = "") -> SystemCommand:
    """'Policies: shadow': 'run the policy under the cursor beside the one that is on; key S'."""
    name = called or binding.description or (binding.id or "").rpartition(".")[2].replace("_", " ") or binding.tooltip
    title = f"{owner}: {name}" if owner else name
    told = f"{binding.tooltip}; key {shown(app, binding)}"
    return SystemCommand(title[:1].upper() + title[1:], told, run)


def _run(app: ConsoleApp, action: str, node: DOMNode) -> Callable[[], None]:
    def run() -> None:
        app.run_worker(app.run_action(action, node), group="palette")

    return run


def _go_and_run(app: ConsoleApp, mode: str, action: str) -> Callable[[], None]:
    """To the screen first; what was opened over it goes away."""

    async def go() -> None:
        await app.switch_mode(mode)
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        app.screen.call_after_refresh(begin, app.screen)

    async def begin(screen: Screen[Any]) -> None:
        if isinstance(screen, DeckScreen):
            screen.open_for(action)
        await app.run_action(action, screen)

    def run() -> None:
        app.run_worker(go(), group="palette")

    return run
