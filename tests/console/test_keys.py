"""Keys that mean the same everywhere: to the ends, help in sight, and what a replay takes for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.console import Console
from scenario import NODE, run_events
from staging import LARGE, SMALL, ScriptedFeed, batch, console, drawn, live_messages, recorded, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.help import help_content
from radixdeck.console.widgets.keys_line import KeysLine
from radixdeck.console.widgets.log_view import LogView
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies import events as e
from radixdeck.policies.events import NO_NODE


async def test_g_and_shift_g_go_to_the_ends_of_a_live_list() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("3")
        await drawn(pilot)
        table = pilot.app.screen.query_one("#agents", SyncTable)
        await pilot.press("G")
        assert table.cursor_row == 5
        await pilot.press("g")
        assert table.cursor_row == 0
        await pilot.press("end")
        assert table.cursor_row == 5
        await pilot.press("5")
        await drawn(pilot)
        log = pilot.app.screen.query_one(LogView)
        await pilot.press("g")
        assert (log.cursor, log.following) == (0, False)
        await pilot.press("G")
        assert log.following


async def test_and_to_the_ends_of_the_map() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        view = pilot.app.screen.query_one(MapView)
        for last, first in (("G", "g"), ("end", "home")):
            await pilot.press(last)
            at_the_end = view.node
            await pilot.press("right")
            assert view.node == at_the_end
            await pilot.press(first)
            at_the_start = view.node
            await pilot.press("left")
            assert view.node == at_the_start != at_the_end


async def test_in_a_replay_they_go_to_the_ends_of_the_recording(tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", run_events())
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("3", "G")
        await until(pilot, lambda: feed.position_ns == session.last_ns)
        text = await drawn(pilot)
        assert text.splitlines()[-1].endswith("? help"), "though the keys of the replay fill the line"
    session.close()


def told(app: ConsoleApp) -> str:
    out = Console(width=90, color_system=None)
    with out.capture() as capture:
        out.print(help_content(app.screen))
    return capture.get()


async def test_help_names_our_keys_by_where_they_work_once_each() -> None:
    async with console(LARGE) as pilot:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await pilot.press("3")
        await drawn(pilot)
        lines = [line.strip() for line in told(app).splitlines()]
        assert "q  leave; the daemon goes on" in lines
        assert not any("Quit the app" in line for line in lines)
        assert sum("everything by name" in line for line in lines) == 1
        assert lines.index("here") < lines.index("/  show only agents whose name contains a text")
        assert lines.index("on every screen") < lines.index("W  say why: recorded with every order from now on")
        assert "in a recording, on every screen" not in lines


async def test_where_no_order_can_be_given_nobody_is_asked_why(tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", run_events())
    for app in (ConsoleApp(ReplayFeed(session, playing=False), animate=False),
                ConsoleApp(ScriptedFeed(live_messages(run_events())), True, animate=False)):  # fmt: skip
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda app=app: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
            assert "recorded with every order" not in told(app)
            await pilot.press("W")
            await drawn(pilot)
            assert not pilot.app.screen.query("#answer")
    session.close()


async def test_a_retained_agent_is_marked_on_the_map_and_in_words() -> None:
    feed = ScriptedFeed(live_messages(run_events()))
    async with console(SMALL, feed) as pilot:
        await pilot.press("2")
        assert "= retained" not in await drawn(pilot)
        retain = e.ActionTaken(
            t_ns=run_events()[-1].t_ns, id="r", kind="retain", agent="coder", amount=900.0, ttl_s=60.0
        )
        feed.tell(batch([retain], len(run_events()) + 1))
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        async with asyncio.timeout(15):
            while "=CCCC" not in await drawn(pilot):  # until its evictions of a moment ago have faded
                await pilot.pause(0.1)
        assert "= retained" in await drawn(pilot), "the frame explains the sign"
        view = app.screen.query_one(MapView)
        coders = (n.node for n in app.fleet.nodes[NODE].run.nodes.values() if n.agents == ("coder",))
        view.select(next(coders, NO_NODE))
        text = await drawn(pilot)
        assert f"node {view.node}  = retained" in text


@pytest.mark.parametrize("size", [SMALL, (120, 34), (80, 50)])
async def test_what_goes_next_and_what_has_gone_are_one_key_away(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        await pilot.press("2")
        seen = [await drawn(pilot)]
        for _ in range(2):
            await pilot.press("n")
            seen.append(await drawn(pilot))
        under, following, gone = seen
        assert "pinned: goes as number 15" in under
        assert "history coder s0" in following
        assert "history of tester in s3 (180" in gone
        await pilot.press("n")
        assert "pinned: goes as number 15" in await drawn(pilot)


async def test_where_there_is_room_for_all_there_is_no_such_key() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        for shown in ("pinned: goes as number 15", "history coder s0", "just gone, just warmed"):
            assert shown in text
        assert "n next" not in text


async def test_the_line_of_keys_is_made_anew_only_when_other_keys_work() -> None:
    async with console(SMALL) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        line = pilot.app.screen.query_one(KeysLine)
        keys = [*line.children]
        assert all(key.has_class("-compact") for key in keys)
        pilot.app.screen.refresh_bindings()
        await drawn(pilot)
        assert keys == [*line.children], "the same widgets"
        await pilot.press("T")
        text = await drawn(pilot)
        assert keys != [*line.children]
        assert "fold" in text.splitlines()[-1]
