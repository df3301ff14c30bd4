"""Many daemons on one broker: a line each, which says what is wrong; one is opened, seen on every screen, and left."""

from __future__ import annotations

import msgspec
import pytest
from brokers import BrokerAddress
from scenario import NODE, T0_NS, folded, run_events
from staging import (
    LARGE,
    SMALL,
    ScriptedFeed,
    batch,
    console,
    drawn,
    in_words,
    keyframe,
    left_of,
    live_messages,
    screen_text,
    status,
    until,
)
from test_console_over_mqtt import running
from textual.widgets import Input

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import live_feed
from radixdeck.console.feed_messages import Connection, FeedMessage, NodeStatus
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.screens.fleet import line_of, worst_words
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies import events as e
from radixdeck.policies.residency import AgentStats, Moment, RunState

EVENTS = run_events()


def unhappy() -> RunState:
    """A run in which one agent waits much longer than it used to."""
    state = RunState(t_ns=T0_NS, model="big-model", engine_up=True, agents={"lawyer": AgentStats(agent="lawyer")})
    now_s = T0_NS // 1_000_000_000
    usual = [Moment(now_s - 400 + 10 * n, 10, 5, 5000, 4800, 5, 0.3) for n in range(30)]
    state.trends["lawyer"] = [*usual, Moment(now_s - 10, 10, 5, 5000, 100, 5, 4.0, hurt=5)]
    return state


def fleet(*more: FeedMessage) -> ScriptedFeed:
    return ScriptedFeed([*live_messages(EVENTS), status(node="box-2"), keyframe(unhappy(), 1, node="box-2"), *more])


async def test_two_daemons_over_a_real_broker(broker: BrokerAddress) -> None:
    async with running(broker) as first, running(broker, "box-2") as second:
        app = ConsoleApp(live_feed(broker))
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: {node: entry.seq for node, entry in app.fleet.nodes.items()}
                        == {NODE: 300, "box-2": 300})  # fmt: skip
            await until(pilot, lambda: "2 daemons" in screen_text(app))
            second.happen(EVENTS[300:])
            await until(pilot, lambda: app.fleet.nodes["box-2"].run == folded(EVENTS))
            assert app.fleet.nodes[NODE].run == folded(EVENTS[:300])

            await pilot.press("home", "enter")
            await until(pilot, lambda: "● box-1 up" in screen_text(app) and "under the cursor" in screen_text(app))
            await pilot.press("1", "end", "enter")
            await until(pilot, lambda: "● box-2 up" in screen_text(app) and "under the cursor" in screen_text(app))
            await pilot.press("3")
            await until(pilot, lambda: "6 of 6 agents" in screen_text(app))
            await pilot.press("w")
            await until(pilot, lambda: bool(second.commands))
            assert [command.name for command in second.commands] == ["warm"]
            await pilot.press("left_parenthesis", "w")
            await until(pilot, lambda: bool(first.commands))
            assert len(second.commands) == 1
            await pilot.press("1")
            await until(pilot, lambda: app.current_mode == "fleet" and "2 daemons" in screen_text(app))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_line_says_what_is_wrong(size: tuple[int, int]) -> None:
    feed = fleet(status("failed", node="box-3"), status("offline", online=False, node="box-4"))
    async with console(size, feed) as pilot:
        text = await drawn(pilot)
        assert "4 daemons" in text
        for node, state in (("box-1", "ready"), ("box-2", "ready"), ("box-3", "failed"), ("box-4", "away")):
            assert any(node in line and state in line for line in text.splitlines()), text
        assert "! lawyer" in text
        if size == LARGE:
            assert "! lawyer 800 ms, usually 60 ms" in text
            assert "big-model" in text


async def test_lines_sort_and_filter() -> None:
    async with console(LARGE, fleet()) as pilot:
        table = pilot.app.screen.query_one("#daemons", SyncTable)
        await drawn(pilot)
        assert [key for key, _ in table._rows] == ["box-1", "box-2"]
        await pilot.press("s")
        assert "sorted by what is worst off" in await drawn(pilot)
        assert [key for key, _ in table._rows] == ["box-2", "box-1"]
        await pilot.press("slash", *"LAWYER", "enter")
        assert "1 of 2 daemons with 'LAWYER'" in await drawn(pilot)
        await pilot.press("escape")
        assert "2 daemons, sorted" in await drawn(pilot)


async def test_a_click_on_a_header_sorts() -> None:
    async with console(LARGE, fleet()) as pilot:
        await drawn(pilot)
        table = pilot.app.screen.query_one("#daemons", SyncTable)
        for title, words in (("worst off", "what is worst off"), ("hit", "hit rate"), ("daemon", "")):
            await pilot.click(table, offset=(left_of(table, title), 1))
            text = await drawn(pilot)
            assert f"2 daemons, sorted by {words}" in text if words else "sorted by" not in text


async def test_a_daemon_that_is_open_is_shown_by_every_screen_until_another_is() -> None:
    feed = fleet()
    async with console(LARGE, feed) as pilot:
        await drawn(pilot)
        await pilot.press("end", "enter")
        assert "● box-2 up" in await drawn(pilot)
        for mode in "34579":
            await pilot.press(mode)
            assert "● box-2 up" in await drawn(pilot)
        feed.tell(batch([e.CacheFlushed(t_ns=EVENTS[-1].t_ns + 1)], len(EVENTS) + 1))
        assert "● box-2 up" in await drawn(pilot)
        await pilot.press("right_parenthesis")
        assert "● box-1 up" in await drawn(pilot)
        await pilot.press("left_parenthesis")
        assert "● box-2 up" in await drawn(pilot)
        await pilot.press("1")
        assert pilot.app.current_mode == "fleet"


async def test_whatever_is_looked_at_is_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when the tables have their turn."""
    app = ConsoleApp(fleet())
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "● box-1 up" in screen_text(app) and "box-2" in app.fleet.nodes)
        monkeypatch.setattr("radixdeck.console.app.TABLE_S", 1e9)
        await pilot.press("right_parenthesis")
        await until(pilot, lambda: "● box-2 up" in screen_text(app), 5)
        await pilot.press("W")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.screen.query_one("#answer", Input).value = "INC-47"
        await pilot.press("enter")
        await until(pilot, lambda: "why: INC-47" in screen_text(app), 5)


async def test_a_fleet_of_thirty_is_listed_and_walked() -> None:
    others = [status(node=f"node-{n:02}") for n in range(29)]
    async with console(SMALL, ScriptedFeed([*live_messages(EVENTS), *others])) as pilot:
        assert "30 daemons" in await drawn(pilot)
        await pilot.press("end", "enter")
        assert "● node-28 up" in await drawn(pilot)


def test_alone_and_unheard_daemons_have_lines() -> None:
    state = FleetState(lambda: 1.0)
    state.apply(Connection(True))
    state.apply(status("restarting", node="x"))
    line = line_of(state, state.nodes["x"], replayed=False)
    assert line.alert == "engine restarting"
    assert worst_words(line).plain == "! engine restarting"
    state.apply(status("ready", online=False, node="x"))
    assert worst_words(line_of(state, state.nodes["x"], replayed=False)).plain == "! daemon away"
    assert worst_words(line_of(state, state.nodes["x"], replayed=True)).plain == "-"


def test_what_a_daemon_says_of_itself_beside_its_engine_is_on_its_line() -> None:
    state = FleetState(lambda: 1.0)
    state.apply(Connection(True))
    told = status("ready", node="x")
    for detail, alert in (("ready in 9 s", ""), ("ready in 9 s; not published: residency", "not published: residency")):
        state.apply(NodeStatus("x", msgspec.structs.replace(told.status, detail=detail)))
        assert line_of(state, state.nodes["x"], replayed=False).alert == alert


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_and_all_of_it_can_be_read_below(size: tuple[int, int]) -> None:
    wrong = "not published: residency (2.0 MB); the broker takes at most 1,048,576 bytes at a time: raise it"
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(size, feed) as pilot:
        told = status("ready").status
        feed.tell(NodeStatus(NODE, msgspec.structs.replace(told, detail=f"ready in 9 s; {wrong}")))
        await pilot.press("1")
        assert f"! {wrong}" in in_words(await drawn(pilot))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_names_that_are_not_gone_by_are_said_while_it_is_so(size: tuple[int, int]) -> None:
    doubted = e.NamesDoubted(t_ns=T0_NS, tenant="acme", what="sessions", doubted=True, held=0.2)
    agents = msgspec.structs.replace(doubted, what="agents")
    feed = ScriptedFeed(live_messages([*EVENTS, doubted, agents]))
    async with console(size, feed) as pilot:
        said = in_words(await drawn(pilot))
        assert "names agents by prompt and sessions by what is said (acme)" in said
        feed.tell(batch([msgspec.structs.replace(doubted, doubted=False)], len(EVENTS) + 3))
        assert "names agents by prompt (acme)" in in_words(await drawn(pilot))
        feed.tell(batch([msgspec.structs.replace(agents, doubted=False)], len(EVENTS) + 4))
        assert "by prompt (acme)" not in await drawn(pilot)
