"""Every screen at both ends of the sizes: it draws, shows the key facts, and answers its keys."""

from __future__ import annotations

import asyncio

import pytest
from scenario import NODE, run_events
from staging import (
    LARGE,
    SMALL,
    ScriptedFeed,
    batch,
    console,
    drawn,
    in_words,
    keyframe,
    live_messages,
    screen_text,
    sought,
    status,
    until,
)

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import Connection, NodeEvents, NodeKeyframe
from radixdeck.console.screens.base import MODES
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import Keyframe
from radixdeck.policies import events as e
from radixdeck.policies.residency import NodeView, RunState

EVENTS = run_events()


FACTS = {
    "1": ["1 daemon", "box-1", "engine ready", "3.9k/4.0k", "dispatch of search[web]"],
    "2": ["KV pool, 4,000 tok", "CCCC", "rrrr", "under the cursor", "prefix shared by coder, critic", "planner 476"],
    "3": ["6 of 6 agents, sorted by asked", "search[web]", "resident", "TTFT p50", "59 %", "* planner", "hurt"],
    "4": ["[x]", "kv_caching", "horizon", "~ 0.4", "kv_caching evicted 40 nodes lately"],
    "5": ["of the last", "history of tester in s3 (180 tok) evicted for search[web]'s", "selected event"],
    "6": ["the last 10 minutes", "This run is live", "radixdeck replay"],
    "7": ["36 of 52 evicted nodes hurt", "nobody is worse off", "tester's history", "pushed out by"],
    "8": ["60 of the last 61 requests", "selected request", "decode", "░"],
    "9": ["predictability R", "next in the same session", "4 sessions"],
    "0": ["what if: a cache of 1x", "not on this machine"],
}


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_each_screen_shows_its_facts(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        for mode, facts in FACTS.items():
            await pilot.press(mode)
            text = await drawn(pilot)
            for fact in (*facts, "● box-1 up", "engine ready", "policy kv_caching", "hit "):
                assert fact in text or fact in in_words(text), f"{fact!r} is not on screen {mode} at {size}:\n{text}"
            assert max(len(line) for line in text.splitlines()) <= size[0]


@pytest.mark.parametrize("size", [(60, 16), (300, 80)])
async def test_odd_sizes_draw(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        for mode in FACTS:
            await pilot.press(mode)
            assert "box-1" in await drawn(pilot)


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (10, 3)])
async def test_a_window_too_small_says_so(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        text = await drawn(pilot)
        assert "too small" in " ".join(text.split()) or size == (10, 3)
        assert "fleet" not in text


async def test_resizing_draws_again() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        await pilot.resize_terminal(*SMALL)
        assert "KV pool" in await drawn(pilot)


async def test_nothing_heard_yet_is_no_hindrance() -> None:
    async with console(feed=ScriptedFeed([])) as pilot:
        for mode in FACTS:
            await pilot.press(mode)
            assert "no connection yet" in await drawn(pilot)
            await pilot.press("down", "up", "left", "right", "s", "enter", "w", "e", "n", "v", "y")
            assert "no connection yet" in await drawn(pilot)


async def test_lost_and_found_again() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(feed=feed) as pilot:
        feed.tell(Connection(False, "connection refused"))
        text = await drawn(pilot)
        assert "○ lost" in text
        assert "connection refused" in text
        assert "what was seen stays" in text
        assert "3.9k/4.0k" in text
        assert pilot.app.screen.has_class("-lost")
        feed.tell(Connection(True), status())
        assert "● box-1 up" in await drawn(pilot)
        assert not pilot.app.screen.has_class("-lost")


async def test_a_daemon_that_leaves_is_told_apart_from_a_lost_connection() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(feed=feed) as pilot:
        feed.tell(status("offline", online=False))
        assert "○ box-1 offline" in await drawn(pilot)


async def test_engine_trouble_is_told_in_words() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(LARGE, feed) as pilot:
        feed.tell(status("restarting"))
        assert "engine restarting" in await drawn(pilot)


async def test_garbage_from_a_daemon_crashes_nothing() -> None:
    strange = RunState(
        capacity_tokens=-5,
        used_tokens=10**12,
        nodes={
            1: NodeView(node=1, parent=1, start=-4, tokens=10**9, agents=("[red]nobody", "x" * 300), role="anchor"),
            2: NodeView(node=2, parent=77, start=0, tokens=0, agents=("ghost",), role="private"),
        },
    )
    feed = ScriptedFeed([Connection(True), status("failed")])
    async with console(feed=feed) as pilot:
        feed.tell(NodeKeyframe("[b]", Keyframe(run="", seq=-9, t_ns=-1, state=strange)))
        feed.tell(keyframe(strange, 0))
        feed.tell(NodeEvents(NODE, "box-1-1f2e3d4c", 1, 2, [(1, e.EventsDropped(t_ns=-1, count=-3))], unknown=1))
        feed.tell(batch([e.NodeEvicted(t_ns=0, node=99, tokens=-1, start=-1, idle_s=-2.0, parts={"x": 1e308})], 3))
        feed.tell(batch([e.RequestArrived(t_ns=2**62, rid="[/]", agent="[bold", session="\x1b[31m")], 4))
        for mode in FACTS:
            await pilot.press(mode)
            assert "engine failed" in await drawn(pilot)


async def test_what_is_no_agent_is_not_listed_as_one() -> None:
    nobody = e.PrefixMatched(t_ns=EVENTS[-1].t_ns, rid="health", agent="", session="", prompt_tokens=7, cached_tokens=0)
    feed = ScriptedFeed(live_messages([*EVENTS, nobody]))
    async with console(feed=feed) as pilot:
        await pilot.press("3")
        assert "6 of 6 agents" in await drawn(pilot)


async def test_agents_sort_and_filter() -> None:
    async with console() as pilot:
        await pilot.press("3", "s")
        text = await drawn(pilot)
        assert "sorted by agent" in text
        names = [key for key, _ in pilot.app.screen.query_one("#agents", SyncTable)._rows]
        assert names == sorted(names)
        await pilot.press("slash", *"wri", "enter")
        text = await drawn(pilot)
        assert "1 of 6 agents with 'wri'" in text
        await pilot.press("escape")
        assert "6 of 6 agents" in await drawn(pilot)


async def test_a_cursor_stays_on_its_agent_when_rows_move() -> None:
    feed = ScriptedFeed(live_messages(EVENTS[:300]))
    async with console(feed=feed) as pilot:
        await pilot.press("3", "down", "down")
        await drawn(pilot)
        table = pilot.app.screen.query_one("#agents", SyncTable)
        agent = table.selected
        await pilot.press("s", "s", "s")
        feed.tell(batch(EVENTS[300:], 301))
        await drawn(pilot)
        assert table.selected == agent


async def test_the_map_follows_a_node_and_explains_it() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        view = pilot.app.screen.query_one(MapView)
        first = view.node
        await pilot.press("right")
        assert "anchor of planner" in await drawn(pilot)
        await pilot.press("l", "l")
        assert "history of coder" in await drawn(pilot)
        await pilot.press("left", "h", "left", "left")
        assert view.node == first
        await pilot.press("j", "k", "down", "up")
        await pilot.click(MapView, offset=(5, 3))
        assert "anchor of planner" in await drawn(pilot)


async def test_the_node_under_the_cursor_may_go() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(feed=feed) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        node = pilot.app.screen.query_one(MapView).node
        feed.tell(batch([e.CacheFlushed(t_ns=EVENTS[-1].t_ns + 1)], len(EVENTS) + 1))
        assert "the cache is empty" in await drawn(pilot)
        assert pilot.app.screen.query_one(MapView).node != node


async def test_help_tells_the_keys_of_what_is_focused() -> None:
    async with console() as pilot:
        await pilot.press("2", "question_mark")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "The whole KV pool as cells" in text
        assert "? help" in text
        await pilot.press("escape")
        assert "KV pool, 4,000 tok" in await drawn(pilot)


async def test_the_palette_goes_anywhere() -> None:
    async with console() as pilot:
        await sought(pilot, "go to events", "Go to events")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "events")


async def test_two_daemons_one_console() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(LARGE, feed) as pilot:
        feed.tell(status(node="box-2"), keyframe(RunState(model="other-model"), 1, node="box-2"))
        assert "2 daemons" in await drawn(pilot)
        await pilot.press("down", "enter")
        assert "● box-2 up" in await drawn(pilot)


async def test_a_feed_that_fails_leaves_the_console_standing() -> None:
    class Broken(ScriptedFeed):
        async def __aenter__(self) -> Broken:
            raise OSError("no route to host")

    async with console(feed=Broken([])) as pilot:
        assert "no route to host" in await drawn(pilot)


async def test_drawing_goes_on_by_itself() -> None:
    app = ConsoleApp(ScriptedFeed(live_messages(EVENTS)))
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "● box-1 up" in screen_text(app))


async def test_drawing_while_a_screen_is_being_made_is_harmless() -> None:
    async with console(LARGE) as pilot:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        for mode in MODES:
            switching = asyncio.ensure_future(_switched(app, mode))
            while not switching.done():
                app.draw()
                await asyncio.sleep(0)
            assert mode in await drawn(pilot)


async def _switched(app: ConsoleApp, mode: str) -> None:
    await app.switch_mode(mode)
