"""Orders: from the key, over the questions, to the command; and what is refused before it is sent."""

from __future__ import annotations

import pytest
from scenario import NODE, run_events
from staging import ScriptedFeed, batch, drawn, live_messages, screen_text, status, toasts, until
from textual.pilot import Pilot
from textual.widgets import Input

from radixdeck.console.acting import flush, give
from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import ACTS, NoTarget, Order, Target, order, outcome, parse_amount
from radixdeck.console.dialogs import Confirm
from radixdeck.console.replay_keys import parse_time
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import Reply
from radixdeck.policies.events import ActionTaken, EngineStarted, NodeAdded

EVENTS = run_events()
BY_NAME = {act.name: act for act in ACTS}


def app_with(feed: ScriptedFeed, *, read_only: bool = False) -> ConsoleApp:
    return ConsoleApp(feed, read_only, animate=False)


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


async def test_what_is_asked_about_one_daemon_is_carried_out_there_whichever_is_looked_at_by_then() -> None:
    feed = ScriptedFeed([*live_messages(EVENTS), status(node="box-2")])
    app = app_with(feed)
    async with app.run_test() as pilot:
        await on_agents(pilot)
        await pilot.press("e")
        await until(pilot, lambda: f"evict coder on {NODE}?" in screen_text(app))
        app.look_at("box-2")
        await pilot.press("y")
        await until(pilot, lambda: feed.orders == [(NODE, "evict", {"agent": "coder"})])
        app.look_at(NODE)
        await pilot.press("b")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.look_at("box-2")
        await pilot.press("enter")
        await until(pilot, lambda: feed.orders[1:] == [(NODE, "boost", {"agent": "coder", "amount": 1.0})])


async def test_so_is_a_value_that_is_typed_and_each_of_several_orders() -> None:
    feed = ScriptedFeed([*live_messages(EVENTS), status(node="box-2")])
    app = app_with(feed)
    async with app.run_test() as pilot:
        await pilot.press("4")
        await drawn(pilot)
        app.screen.query_one("#tunables").focus()
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.look_at("box-2")
        await pilot.press("enter")
        await until(pilot, lambda: bool(feed.orders))
        app.look_at(NODE)
        give(app, [Order("pin", {"agent": agent}, f"pin {agent}") for agent in ("coder", "critic")])
        await until(pilot, lambda: f"2 orders at once on {NODE}?" in screen_text(app))
        app.look_at("box-2")
        await pilot.press("y")
        await until(pilot, lambda: len(feed.orders) == 3)
        assert [node for node, _, _ in feed.orders] == [NODE] * 3


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


async def test_flush_is_asked_first() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test() as pilot:
        await drawn(pilot)
        flush(app)
        await until(pilot, lambda: "Empty the whole cache?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: feed.orders == [(NODE, "flush", {})])


async def test_a_yes_is_for_no_node_of_an_engine_that_started_meanwhile() -> None:
    """It counts its nodes from the beginning: the number that was asked about is another node's."""
    feed = ScriptedFeed(live_messages(EVENTS))
    app = app_with(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        node = app.screen.query_one(MapView).node
        assert node is not None
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        t_ns = EVENTS[-1].t_ns + 1
        started = EngineStarted(t_ns=t_ns, pid=2, model="m", capacity_tokens=4000, page_size=1, policy="lru")
        other = NodeAdded(t_ns=t_ns, node=node, parent=0, start=0, tokens=900, agent="critic")
        feed.tell(batch([started, other], len(EVENTS) + 1))
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS) + 2)
        await pilot.press("y")
        await until(pilot, lambda: "the engine was started again meanwhile" in toasts(app))
        assert feed.orders == []
        give(app, [Order("evict", {"agent": "critic"}, "evict critic")])
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        feed.tell(batch([started], len(EVENTS) + 3))
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS) + 3)
        await pilot.press("y")
        await until(pilot, lambda: feed.orders == [(NODE, "evict", {"agent": "critic"})])


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
