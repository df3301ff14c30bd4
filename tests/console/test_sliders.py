"""Tunables as sliders: by keys, by a click, dragged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from scenario import NODE, run_events
from shadow_stage import console_on, opened, record
from staging import ScriptedFeed, drawn, left_of, live_messages, toasts, until
from textual import events
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from radixdeck.console.app import ConsoleApp
from radixdeck.console.widgets.tunables import HELD, SLIDER, TunablesTable

EVENTS = run_events()
NONE, LEFT, RIGHT = 0, 1, 3
"""Buttons that are down, as a terminal tells them."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("sliders") / "run.db")


async def mouse(
    pilot: Pilot[None], of: type[events.MouseEvent], where: Widget | str, offset: tuple[int, int], button: int = LEFT
) -> None:
    """One event alone; the pilot's own moves have no button down."""
    await pilot._post_mouse_events([of], where, offset, button=button)


class Stage(NamedTuple):
    """The policies screen with the table of tunables, and where its bars begin."""

    pilot: Pilot[None]
    feed: ScriptedFeed
    table: TunablesTable
    left: int

    async def down(self, cell: int, row: int = 1) -> None:
        await self.pilot.mouse_down(self.table, offset=(self.left + cell, 2 + row))
        await drawn(self.pilot)

    async def over(self, cell: int, row: int = 1, button: int = LEFT) -> str:
        """The mouse moved there with a button down; what is on the terminal then."""
        await mouse(self.pilot, events.MouseMove, self.table, (self.left + cell, 2 + row), button)
        return await drawn(self.pilot)

    async def up(self, cell: int, row: int = 1) -> None:
        await self.pilot.mouse_up(self.table, offset=(self.left + cell, 2 + row))
        await drawn(self.pilot)

    @property
    def values(self) -> list[tuple[str, float]]:
        """What was ordered."""
        return [(arguments["name"], arguments["value"]) for _, _, arguments in self.feed.orders]


@asynccontextmanager
async def sliders(*, read_only: bool = False) -> AsyncGenerator[Stage]:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = ConsoleApp(feed, read_only, animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        table = app.screen.query_one("#tunables", TunablesTable)
        yield Stage(pilot, feed, table, left_of(table, SLIDER))


def held(text: str) -> list[str]:
    """The values that are shown as not sent."""
    return [line.split(HELD)[1].split()[0] for line in text.splitlines() if HELD in line]


async def test_a_bar_follows_the_mouse_and_orders_once_where_it_is_released() -> None:
    async with sliders() as stage:
        await stage.down(2)
        assert held(await stage.over(6)) == ["0.5"]
        assert held(await stage.over(9)) == ["0.75"]
        assert stage.values == [], "it is only shown"
        await stage.up(9)
        await until(stage.pilot, lambda: stage.values == [("warm_gate", 0.75)])
        assert held(await drawn(stage.pilot)) == []
        assert held(await stage.over(3, button=NONE)) == [], "the button is up"
        assert stage.values == [("warm_gate", 0.75)]
        assert not stage.pilot.app.screen.query("#answer"), "nothing is asked"


async def test_beside_a_bar_its_nearer_end_counts_whatever_row_is_below_the_mouse() -> None:
    async with sliders() as stage:
        await stage.down(6)
        assert held(await stage.over(20)) == ["1"]
        assert held(await stage.over(-20, row=0)) == ["0"]
        await stage.up(-20, row=0)
        await until(stage.pilot, lambda: stage.values == [("warm_gate", 0.0)])
        assert stage.table.selected == "kv_caching.warm_gate"
        assert not stage.pilot.app.screen.query("#answer")


async def test_escape_lets_go_and_leaves_the_screen_alone() -> None:
    async with sliders() as stage:
        await stage.down(6)
        assert held(await stage.over(9)) == ["0.75"]
        await stage.pilot.press("escape")
        assert held(await drawn(stage.pilot)) == []
        assert held(await stage.over(3)) == []
        await stage.up(3)
        assert stage.values == []
        assert stage.pilot.app.mouse_captured is None


async def test_outside_the_table_it_is_what_it_was_and_a_release_there_orders_nothing() -> None:
    async with sliders() as stage:
        await stage.down(6)
        await mouse(stage.pilot, events.MouseMove, "#policies", (5, 1))
        assert held(await drawn(stage.pilot)) == []
        assert held(await stage.over(9)) == ["0.75"], "back in it is held as before"
        await mouse(stage.pilot, events.MouseMove, "#policies", (5, 1))
        await stage.pilot.mouse_up("#policies", offset=(5, 1))
        await drawn(stage.pilot)
        assert stage.values == []
        assert stage.pilot.app.mouse_captured is None


async def test_another_screen_lets_go_too() -> None:
    async with sliders() as stage:
        await stage.down(6)
        await stage.pilot.press("5")
        await drawn(stage.pilot)
        assert stage.pilot.app.current_mode == "events"
        assert stage.pilot.app.mouse_captured is None
        await stage.pilot.press("4")
        assert held(await drawn(stage.pilot)) == []
        assert stage.values == []


async def test_other_buttons_take_hold_of_nothing() -> None:
    async with sliders() as stage:
        await stage.pilot.mouse_down(stage.table, offset=(stage.left + 6, 3), button=3)
        assert held(await stage.over(9)) == []
        assert stage.pilot.app.mouse_captured is None


async def test_a_release_that_is_not_reported_leaves_it_as_it_was() -> None:
    """As in another window: what comes next is a move with no button down."""
    async with sliders() as stage:
        await stage.down(6)
        assert held(await stage.over(9)) == ["0.75"]
        assert held(await stage.over(3, button=NONE)) == []
        assert stage.pilot.app.mouse_captured is None
        await stage.up(3)
        assert stage.values == []


async def test_or_a_button_that_goes_down_anywhere() -> None:
    async with sliders() as stage:
        await stage.down(6)
        await mouse(stage.pilot, events.MouseDown, "#policies", (5, 1))
        assert stage.pilot.app.mouse_captured is None
        await stage.down(6)
        await mouse(stage.pilot, events.MouseDown, stage.table, (stage.left + 9, 3), RIGHT)
        assert held(await drawn(stage.pilot)) == []
        await stage.up(9)
        assert stage.values == []
        await stage.down(6)
        await mouse(stage.pilot, events.MouseDown, stage.table, (stage.left + 9, 3))
        assert held(await drawn(stage.pilot)) == ["0.75"], "on a bar it takes hold of that"


async def test_only_the_button_that_took_hold_sets_a_value() -> None:
    async with sliders() as stage:
        await stage.down(6)
        await mouse(stage.pilot, events.MouseUp, stage.table, (stage.left + 9, 3), RIGHT)
        assert stage.values == []
        await stage.up(9)
        await until(stage.pilot, lambda: stage.values == [("warm_gate", 0.75)])


async def test_what_is_dragged_may_go_meanwhile() -> None:
    async with sliders() as stage:
        await stage.down(6)
        stage.table.show([])
        assert stage.pilot.app.mouse_captured is None
        await stage.up(6)
        assert stage.values == []


async def test_read_only_takes_hold_of_nothing_and_says_why() -> None:
    async with sliders(read_only=True) as stage:
        await stage.down(6)
        assert "refused: this console is read-only" in toasts(stage.pilot.app)
        assert held(await stage.over(9)) == []
        await stage.up(9)
        assert stage.values == []


async def test_a_shadow_gets_its_own_values_by_the_mouse_and_nothing_is_ordered(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot, "S", "#tunables")
        table = app.screen.query_one("#shadow-tunables", TunablesTable)
        name, left = table.selected, left_of(table, SLIDER)
        await pilot.mouse_down(table, offset=(left, 2))
        await mouse(pilot, events.MouseMove, table, (left + 12, 2))
        await drawn(pilot)
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.choice.values == (), "it does not begin anew on the way"
        await pilot.mouse_up(table, offset=(left + 12, 2))
        await drawn(pilot)
        anew, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert anew is not None
        (found,) = anew.choice.values
        assert found == (name, table._sliders[name].tunable.high)
        assert isinstance(app.feed, ScriptedFeed)
        assert app.feed.orders == []


async def test_arrows_enter_and_backspace_change_a_tunable() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test() as pilot:
        await pilot.press("4")
        await drawn(pilot)
        app.screen.query_one("#tunables").focus()
        await pilot.press("down", "right")
        await until(pilot, lambda: len(feed.orders) == 1)
        await pilot.press("backspace")
        await until(pilot, lambda: len(feed.orders) == 2)
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.screen.query_one("#answer", Input).value = "0.75"
        await pilot.press("enter")
        await until(pilot, lambda: len(feed.orders) == 3)
        values = [(arguments["name"], arguments["value"]) for _, _, arguments in feed.orders]
        assert values == [("warm_gate", 0.45), ("warm_gate", 0.3), ("warm_gate", 0.75)]


async def test_a_click_on_a_slider_sets_what_stands_there() -> None:
    async with sliders() as stage:
        for cell, row in ((0, 1), (6, 1), (12, 1), (12, 0)):
            await stage.pilot.click(stage.table, offset=(stage.left + cell, 2 + row))
            await drawn(stage.pilot)
        await until(stage.pilot, lambda: len(stage.values) == 4)
        assert stage.values == [("warm_gate", 0.0), ("warm_gate", 0.5), ("warm_gate", 1.0), ("horizon", 8.0)]
        assert not stage.pilot.app.screen.query("#answer"), "nothing is asked"
        await stage.pilot.click(stage.table, offset=(3, 3))
        await drawn(stage.pilot)
        assert stage.table.selected == "kv_caching.warm_gate"
        assert len(stage.values) == 4, "beside the bar it chooses a row"
