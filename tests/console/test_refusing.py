"""A console that may only look: every key of every screen that orders or asks about an order elsewhere is refused here,
at once. Which those are is found by pressing all of them on a console that may act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from scenario import run_events
from staging import ScriptedFeed, drawn, live_messages, toasts
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import ACTS
from radixdeck.console.dialogs import Ask, Confirm
from radixdeck.console.shadow_worker import ShadowWorker

SIZE = (140, 40)
READ_ONLY = "refused: this console is read-only"
WAYS = {
    **{name: (key,) for name, key in zip(
        ("fleet", "residency", "agents", "policies", "events", "timeline", "harm", "requests", "transitions", "whatif"),
        "1234567890", strict=True,
    )},
    "tree": ("2", "T"), "agent": ("3", "enter"), "anchor": ("3", "enter", "a"), "decisions": ("4", "D"),
    "shadow": ("4", "S"), "curve": ("4", "C"), "chain": ("7", "enter"), "orders": ("3", "U"),
}  # fmt: skip
"""How each screen is reached."""
OF_A_MODEL = {("shadow", "view.type"), ("whatif", "view.values")}
"""Questions about what is modelled here alone."""
ELSEWHERE = ("switch_mode", "quit", "command_palette", "export")
"""Actions that lead away, or write files."""


@pytest.fixture(autouse=True)
def _models_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShadowWorker, "want", lambda *_: None)


async def reach(pilot: Pilot[None], keys: tuple[str, ...], place: int) -> tuple[Screen[None], Widget | None]:
    """A screen as it is opened, with the focus on one of its parts."""
    app = pilot.app
    while len(app.screen_stack) > 1:
        await app.pop_screen()
    await pilot.press(keys[0])
    while len(app.screen_stack) > 1:
        await app.pop_screen()
    await drawn(pilot)
    for key in keys[1:]:
        await pilot.press(key)
        await drawn(pilot)
    chain = app.screen.focus_chain
    focused = chain[place] if place < len(chain) else None
    if focused is not None:
        focused.focus()
        await pilot.pause()
    return app.screen, focused


async def outcome_of(pilot: Pilot[None], act: Callable[[], Awaitable[object]]) -> str:
    """'order', 'question', 'refused', or '' for anything else."""
    feed = pilot.app.feed  # type: ignore[attr-defined]
    ordered, told = len(feed.orders), toasts(pilot.app).count(READ_ONLY)
    await act()
    await pilot.pause()
    if isinstance(pilot.app.screen, Confirm | Ask):
        return "question"
    if len(feed.orders) > ordered:
        return "order"
    return "refused" if toasts(pilot.app).count(READ_ONLY) > told else ""


async def outcomes(name: str, *, read_only: bool) -> dict[tuple[str, str, int], str]:
    """What every key of a screen comes to, by its name, by itself, and by the part that is focused."""
    feed = ScriptedFeed(live_messages(run_events()))
    app = ConsoleApp(feed, read_only, animate=False)
    found: dict[tuple[str, str, int], str] = {}
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        screen, _ = await reach(pilot, WAYS[name], 0)
        for place in range(max(1, len(screen.focus_chain))):
            screen, focused = await reach(pilot, WAYS[name], place)
            keys = [
                (active.binding.id, key)
                for key, active in screen.active_bindings.items()
                if active.enabled and active.binding.id and not active.binding.action.startswith(ELSEWHERE)
            ]
            for named, key in keys:
                if app.screen is not screen or app.focused is not focused:
                    screen, focused = await reach(pilot, WAYS[name], place)
                found[named, key, place] = await outcome_of(pilot, lambda key=key: pilot.press(key))
        if read_only:
            assert feed.orders == []
    return found


@pytest.mark.parametrize("name", WAYS)
async def test_every_key_that_orders_is_refused_before_anything_is_asked(name: str) -> None:
    acting = {key for key, what in (await outcomes(name, read_only=False)).items() if what}
    looking = await outcomes(name, read_only=True)
    for named, key, place in acting:
        if (name, named) not in OF_A_MODEL:
            assert looking.get((named, key, place), "refused") == "refused", f"{key} ({named}) on {name}"
    if name in ("residency", "tree", "agents", "agent", "harm"):
        assert {named for named, _, _ in acting} >= {f"act.{act.name}" for act in ACTS}
    for also, wanted in (("policies", "view.switch"), ("policies", "view.type"), ("policies", "view.more"),
                         ("policies", "view.default"), ("shadow", "view.switch_over"), ("orders", "view.undo")):  # fmt: skip
        assert also != name or wanted in {named for named, _, _ in acting}


async def test_so_is_every_line_of_the_palette() -> None:
    app = ConsoleApp(ScriptedFeed(live_messages(run_events())), True, animate=False)
    async with app.run_test(size=SIZE) as pilot:
        screen, _ = await reach(pilot, WAYS["agents"], 0)
        ordering = [one for one in app.get_system_commands(screen)
                    if one.title in ("Flush", *(act.name.capitalize() for act in ACTS))]  # fmt: skip
        assert len(ordering) == 1 + len(ACTS)
        for command in ordering:

            async def run(command: object = command) -> None:
                command.callback()  # type: ignore[attr-defined]

            assert await outcome_of(pilot, run) == "refused", command.title
