"""Orders: from the key, over the questions, to the command; and what is refused before it is sent."""

from __future__ import annotations

import pytest
from scenario import NODE, run_events
from staging import ScriptedFeed, batch, drawn, left_of, live_messages, screen_text, until
from textual.pilot import Pilot
from textual.widgets import Input

from radixdeck.console.acting import flush
from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import ACTS, NoTarget, Target, order, outcome, parse_amount
from radixdeck.console.replay_keys import parse_time
from radixdeck.console.slider import place_of, stepped, value_at
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.table import SyncTable
from radixdeck.console.widgets.tunables import SLIDER, TunablesTable
from radixdeck.daemon.wire import Reply, TunableInfo
from radixdeck.policies.events import ActionTaken

EVENTS = run_events()
BY_NAME = {act.name: act for act in ACTS}


def app_with(feed: ScriptedFeed, *, read_only: bool = False) -> ConsoleApp:
    return ConsoleApp(feed, read_only, animate=False)


def toasts(app: ConsoleApp) -> str:
    return "\n".join(note.message for note in app._notifications)


async def on_agents(pilot: Pilot[None]) -> str:
    """Go to the agents, sorted by name, so that 'coder' is under the cursor."""
    await pilot.press("3", "s", "home")
    await drawn(pilot)
    table = pilot.app.screen.query_one("#agents", SyncTable)
    table.move_cursor(row=0)
    await drawn(pilot)
    return table.selected


async def test_warm_is_sent_and_its_outcome_is_told() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        assert await on_agents(pilot) == "coder"
        await pilot.press("w")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "warm", {"agent": "coder"})]
        await until(pilot, lambda: "warm coder: done, 412 tok" in toasts(app))


async def test_a_refusal_says_why() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    feed.answer = Reply(id="1", state="refused", detail="anchor of [coder] is not known yet")
    app = app_with(feed)
    async with app.run_test() as pilot:
        await on_agents(pilot)
        await pilot.press("w")
        await until(pilot, lambda: "warm coder refused: anchor of [coder] is not known yet" in toasts(app))
        await drawn(pilot)


@pytest.mark.parametrize(("answer", "sent"), [("y", 1), ("n", 0), ("escape", 0), ("enter", 0)])
async def test_what_destroys_is_asked_first(answer: str, sent: int) -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await on_agents(pilot)
        await pilot.press("e")
        await until(pilot, lambda: "evict coder?" in screen_text(app))
        assert feed.orders == []
        await pilot.press(answer)
        await until(pilot, lambda: "evict coder?" not in screen_text(app))
        await drawn(pilot)
        assert len(feed.orders) == sent


async def test_boost_asks_how_much_and_wants_a_number() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await on_agents(pilot)
        await pilot.press("b")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        field = app.screen.query_one("#answer", Input)
        field.value = "lots"
        await pilot.press("enter")
        await until(pilot, lambda: "'lots' is not a number" in screen_text(app))
        field.value = "2,5"
        await pilot.press("enter")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "boost", {"agent": "coder", "amount": 2.5})]


async def test_the_same_key_pins_and_unpins() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await on_agents(pilot)
        table = app.screen.query_one("#agents", SyncTable)
        table.move_cursor(row=2)
        await drawn(pilot)
        assert table.selected == "planner"
        await pilot.press("p")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "unpin", {"agent": "planner"})]


async def test_the_same_key_retains_and_stops_retaining_and_the_table_shows_it() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test(size=(200, 40)) as pilot:
        assert await on_agents(pilot) == "coder"
        await pilot.press("t")
        await until(pilot, lambda: len(feed.orders) == 1)
        taken = ActionTaken(t_ns=EVENTS[-1].t_ns, id="9", kind="retain", agent="coder", amount=2000, ttl_s=60)
        feed.tell(batch([taken], len(EVENTS) + 1))
        await until(pilot, lambda: app.fleet.nodes[NODE].run.agents["coder"].retain_tokens == 2000)
        assert "retain 2.0k" in await drawn(pilot)
        await pilot.press("t")
        await until(pilot, lambda: len(feed.orders) == 2)
        await until(pilot, lambda: "stop retaining coder: done" in toasts(app))
    assert feed.orders == [
        (NODE, "retain", {"agent": "coder"}),
        (NODE, "retain", {"agent": "coder", "tokens": -1}),
    ]


async def test_on_the_map_pin_means_the_node_and_warm_its_agent() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        await pilot.press("right", "right", "w")
        await until(pilot, lambda: len(feed.orders) == 1)
        node = app.screen.query_one(MapView).node
        await pilot.press("p")
        await until(pilot, lambda: len(feed.orders) == 2)
        assert feed.orders == [(NODE, "warm", {"agent": "coder"}), (NODE, "pin", {"node": node})]
        await pilot.press("left", "left", "w")
        await until(pilot, lambda: "select an agent first" in toasts(app))


async def test_read_only_refuses_everything_without_asking() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed, read_only=True)
    async with app.run_test(size=(160, 40)) as pilot:
        await on_agents(pilot)
        assert "read-only" in await drawn(pilot)
        await pilot.press("w", "e", "b", "Q")
        await until(pilot, lambda: toasts(app).count("this console is read-only") == 4)
        await pilot.press("4", "enter")
        await until(pilot, lambda: toasts(app).count("this console is read-only") == 5)
        flush(app)
        await until(pilot, lambda: toasts(app).count("this console is read-only") == 6)
        assert len(app.screen_stack) == 1
        assert feed.orders == []


async def test_enter_switches_a_policy() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "policy", {"name": "lru", "enabled": True})]
        await until(pilot, lambda: "switch lru on: done" in toasts(app))


async def test_arrows_enter_and_backspace_change_a_tunable() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
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
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        table = app.screen.query_one("#tunables", TunablesTable)
        left = left_of(table, SLIDER)
        for cell, row in ((0, 1), (6, 1), (12, 1), (12, 0)):
            await pilot.click(table, offset=(left + cell, 2 + row))
            await drawn(pilot)
        await until(pilot, lambda: len(feed.orders) == 4)
        values = [(arguments["name"], arguments["value"]) for _, _, arguments in feed.orders]
        assert values == [("warm_gate", 0.0), ("warm_gate", 0.5), ("warm_gate", 1.0), ("horizon", 8.0)]
        assert not app.screen.query("#answer"), "nothing is asked"
        await pilot.click(table, offset=(3, 3))
        await drawn(pilot)
        assert table.selected == "kv_caching.warm_gate"
        assert len(feed.orders) == 4, "beside the bar it chooses a row"


async def test_flush_is_asked_first() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await drawn(pilot)
        flush(app)
        await until(pilot, lambda: "Empty the whole cache?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: feed.orders == [(NODE, "flush", {})])


def test_every_act_needs_a_target_and_names_it() -> None:
    for act in ACTS:
        with pytest.raises(NoTarget, match=act.name):
            order(act, None)
        assert order(act, Target("coder")).arguments["agent"] == "coder"


def test_outcomes_in_words() -> None:
    ordered = order(BY_NAME["pin"], Target("coder", 7))
    assert outcome(ordered, Reply(id="1", state="done", detail="pinned")) == ("pin node 7: done (pinned)", True)
    assert outcome(ordered, Reply(id="1", state="refused")) == ("pin node 7 refused: no reason given", False)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1:2"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_amount(text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1:30", 90), ("1:02:03.5", 3723.5), (" 0 ", 0)])
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-5", "1:2:3:4", "nan", "1e99", ":"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text)


def tunable(low: float, high: float, default: float) -> TunableInfo:
    return TunableInfo(name="x", value=default, default=default, low=low, high=high, unit="", doc="")


@pytest.mark.parametrize(
    ("info", "value", "up", "down"),
    [
        (tunable(0.5, 8.5, 2.0), 2.0, 2.5, 1.5),
        (tunable(0.5, 8.5, 2.0), 2.1, 2.5, 2.0),
        (tunable(0.5, 8.5, 2.0), 8.5, 8.5, 8.0),
        (tunable(0.5, 8.5, 2.0), 0.5, 1.0, 0.5),
        (tunable(0.0, 1.0, 0.3), 0.3, 0.35, 0.25),
        (tunable(0.0, 1.0, 1.0), 1.0, 1.0, 0.0),
        (tunable(1.0, 1e9, 4096.0), 4096.0, 5000.0, 2000.0),
        (tunable(1.0, 1e9, 4096.0), 1e9, 1e9, 5e8),
        (tunable(0.0, 1000.0, 10.0), 0.0, 1.0, 0.0),
        (tunable(1.0, 1.0, 1.0), 1.0, 1.0, 1.0),
    ],
)
def test_steps_are_round_and_within_bounds(info: TunableInfo, value: float, up: float, down: float) -> None:
    assert stepped(info, value, 1) == pytest.approx(up)
    assert stepped(info, value, -1) == pytest.approx(down)
    assert 0.0 <= place_of(info, down) <= place_of(info, value) <= place_of(info, up) <= 1.0


@pytest.mark.parametrize(
    ("info", "place", "value"),
    [
        (tunable(0.5, 8.5, 2.0), 0.5, 4.5),
        (tunable(0.5, 8.5, 2.0), -3.0, 0.5),
        (tunable(0.5, 8.5, 2.0), 7.0, 8.5),
        (tunable(0.0, 1.0, 0.3), 0.52, 0.5),
        (tunable(0.0, 1.0, 1.0), 0.4, 0.0),
        (tunable(0.0, 1.0, 1.0), 0.6, 1.0),
        (tunable(1.0, 1e9, 4096.0), 0.5, 2e4),
        (tunable(1.0, 1e9, 4096.0), 0.0, 1.0),
        (tunable(1.0, 1.0, 1.0), 0.5, 1.0),
    ],
)
def test_a_place_on_a_slider_is_a_round_value(info: TunableInfo, place: float, value: float) -> None:
    assert value_at(info, place) == pytest.approx(value)
