"""A console that may only look: every key of every screen that orders or asks about an order elsewhere is refused here,
at once. Which those are is found by pressing all of them on a console that may act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from scenario import run_events
from staging import ScriptedFeed, live_messages, until
from textual.pilot import Pilot

from radixdeck.console import app
from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import ACTS
from radixdeck.console.dialogs import Ask, Confirm
from radixdeck.console.screens.base import DeckScreen
from radixdeck.console.shadow_worker import ShadowWorker

SIZE = (100, 30)
READ_ONLY = "refused: this console is read-only"
WAYS = {
    **{name: (key,) for name, key in zip(
        ("fleet", "residency", "agents", "policies", "events", "timeline", "harm", "requests", "transitions", "whatif"),
        "1234567890", strict=True,
    )},
    "residency": ("2", "right", "right"), "tree": ("2", "right", "right", "T"), "agent": ("3", "enter"),
    "anchor": ("3", "enter", "a"), "decisions": ("4", "D"),
    "shadow": ("4", "home", "down", "S"), "curve": ("4", "C"), "chain": ("7", "enter"), "orders": ("3", "U"),
}  # fmt: skip
"""How each screen is reached."""
OF_A_MODEL = {("shadow", "view.type"), ("whatif", "view.values")}
"""Questions about what is modelled here alone."""
NO_ORDERS = (
    "list.", "screen.", "app.panel", "app.quit", "app.palette", "app.export", "app.picture", "view.back", "view.filter",
)  # fmt: skip
"""Names of what moves, leads away or writes files."""
ALL_ACTS_ON = "agents"
OTHER_ACTS = frozenset(f"act.{act.name}" for act in ACTS if act.name != "pin")
"""Are pressed on one screen; on every other they are bound to the same action of the app as the one pressed there."""
WHY = "app.why"
"""Gives no order: what is asked for goes with them. Not there where none can be given."""
Key = tuple[int, str, str]
"""Which part of a screen is focused, the name of a key there, and the key."""


class Listening(ConsoleApp):
    """Keeps what it says in passing."""

    CSS_PATH = Path(app.__file__).parent / str(ConsoleApp.CSS_PATH)

    def __init__(self, *, read_only: bool) -> None:
        self.orders = ScriptedFeed(live_messages(run_events()))
        self.told: list[str] = []
        super().__init__(self.orders, read_only, animate=False)

    def notify(self, message: str, **more: Any) -> None:
        self.told.append(message)


@pytest.fixture(autouse=True)
def _models_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShadowWorker, "want", lambda *_: None)


async def shown(pilot: Pilot[None]) -> None:
    """What the app knows is there to be chosen; nobody reads it."""
    cast(ConsoleApp, pilot.app).draw()
    await pilot.pause()


async def reach(pilot: Pilot[None], name: str, place: int = 0) -> None:
    """A screen as it is opened, with the focus on one of its parts."""
    app = pilot.app
    while len(app.screen_stack) > 1:
        await app.pop_screen()
    await pilot.press(WAYS[name][0])
    while len(app.screen_stack) > 1:
        await app.pop_screen()
    for key in (*WAYS[name][1:], None):
        await shown(pilot)
        if key:
            await pilot.press(key)
    if app.screen.focus_chain:
        app.screen.focus_chain[place].focus()
        await pilot.pause()


def keys_here(app: Listening, name: str, place: int) -> list[Key]:
    """Those that may order: of the app on one screen only, of a screen once."""
    found: list[Key] = []
    for key, active in app.screen.active_bindings.items():
        named = active.binding.id or ""
        once = (active.node is app and name != "fleet") or (active.node is app.screen and place > 0)
        if active.enabled and named and not once and not named.startswith(NO_ORDERS):
            found.append((place, named, key))
    acts = {one[1] for one in found if one[1].startswith("act.")}
    if name == ALL_ACTS_ON or not acts:
        return found
    actions = {active.binding.id: active.binding.action for active in app.screen.active_bindings.values()}
    assert {named: actions[named] for named in acts} == {f"act.{act.name}": f"app.act('{act.name}')" for act in ACTS}
    return [one for one in found if one[1] not in OTHER_ACTS]


async def outcome_of(pilot: Pilot[None], act: Callable[[], Awaitable[object]]) -> str:
    """'order', 'question', 'refused', or '' for anything else."""
    app = pilot.app
    assert isinstance(app, Listening)
    ordered, told = len(app.orders.orders), len(app.told)
    await act()
    await pilot.pause()
    if isinstance(app.screen, Confirm | Ask):
        return "question"
    if len(app.orders.orders) > ordered:
        return "order"
    return "refused" if any(READ_ONLY in said for said in app.told[told:]) else ""


class Pressed(NamedTuple):
    """What each key came to, and which keys the screen says give orders."""

    found: dict[Key, str]
    ordering: frozenset[str]


async def pressed(name: str, keys: Sequence[Key] | None = None) -> Pressed:
    """All keys there are where orders can be given, or these where none can."""
    app = Listening(read_only=keys is not None)
    found: dict[Key, str] = {}
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.entry is not None and app.entry.table is not None)
        await reach(pilot, name)
        assert isinstance(app.screen, DeckScreen)
        ordering, places = app.screen.ordering, range(max(1, len(app.screen.focus_chain)))
        for place in places if keys is None else sorted({one[0] for one in keys}):
            if place:
                await reach(pilot, name, place)
            screen, focused = app.screen, app.focused
            for one in keys_here(app, name, place) if keys is None else [one for one in keys if one[0] == place]:
                if app.screen is not screen or app.focused is not focused:
                    await reach(pilot, name, place)
                    screen, focused = app.screen, app.focused
                if keys is None or one[2] in app.screen.active_bindings:
                    found[one] = await outcome_of(pilot, lambda key=one[2]: pilot.press(key))
                if found.get(one) == "question":
                    await app.pop_screen()
        assert keys is None or app.orders.orders == []
    return Pressed(found, ordering)


@pytest.mark.parametrize("name", WAYS)
async def test_every_key_that_orders_is_refused_before_anything_is_asked(name: str) -> None:
    found, ordering = await pressed(name)
    acting = [one for one, what in found.items() if what and (name, one[1]) not in OF_A_MODEL]
    named = {one[1] for one in acting}
    assert named - {WHY} == (ordering if name == ALL_ACTS_ON else ordering - OTHER_ACTS)
    if name in ("residency", "tree", "agents", "agent", "harm", "requests", "chain"):
        assert ordering == {f"act.{act.name}" for act in ACTS}
    elif name == "policies":
        assert named == {"view.switch", "view.type", "view.more", "view.less", "view.default"}
    else:
        assert named == {"shadow": {"view.switch_over"}, "orders": {"view.undo"}, "fleet": {WHY}}.get(name, set())
    there = {one for one in acting if one[1] != WHY}
    if there:
        assert (await pressed(name, sorted(there))).found == dict.fromkeys(there, "refused")


async def test_so_is_every_line_of_the_palette() -> None:
    app = Listening(read_only=True)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, "agents")
        ordering = [one for one in app.get_system_commands(app.screen)
                    if one.title in ("Flush", *(act.name.capitalize() for act in ACTS))]  # fmt: skip
        assert len(ordering) == 1 + len(ACTS)
        for command in ordering:

            async def run(callback: Callable[[], Any] = command.callback) -> None:
                callback()

            assert await outcome_of(pilot, run) == "refused", command.title
