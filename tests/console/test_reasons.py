"""Why an order was given is recorded with it: what the operator typed, and what the console showed."""

from __future__ import annotations

from staging import LARGE, NODE, ScriptedFeed, batch, console, drawn, live_messages, until
from test_harm import incident
from textual.pilot import Pilot
from textual.widgets import Input

from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import Order
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.reasons import MOST, read_reason, why_of
from radixdeck.policies import events as e


def hurt_fleet() -> FleetState:
    fleet = FleetState(lambda: 5.0)
    for message in live_messages(incident()):
        fleet.apply(message)
    return fleet


async def say(pilot: Pilot[None], reason: str) -> None:
    await pilot.press("W")
    await until(pilot, lambda: bool(pilot.app.screen.query("#answer")))
    pilot.app.screen.query_one("#answer", Input).value = reason
    await pilot.press("enter")
    await drawn(pilot)


def test_what_was_shown_of_the_agent_is_the_reason() -> None:
    fleet = hurt_fleet()
    entry = fleet.nodes[NODE]
    now_ns = fleet.now_ns(entry)
    held = why_of(Order("retain", {"agent": "planner"}, ""), "", entry, now_ns)
    assert held.startswith("seen: planner waits")
    assert held.endswith("mostly because of coder")
    assert why_of(Order("quarantine", {"agent": "coder"}, ""), "", entry, now_ns) == held, "it was because of it"
    assert why_of(Order("policy", {"name": "lru"}, ""), "", entry, now_ns) == held, "it is about everybody"
    assert why_of(Order("pin", {"agent": "writer"}, ""), "", entry, now_ns) == ""
    assert why_of(Order("pin", {"node": 3}, ""), "", entry, now_ns) == ""


def test_what_was_typed_comes_first_and_is_bounded() -> None:
    fleet = hurt_fleet()
    entry = fleet.nodes[NODE]
    order = Order("pin", {"agent": "writer"}, "", why="undoes 'unpin writer'")
    assert why_of(order, "INC-47", entry, 0) == "INC-47; undoes 'unpin writer'"
    assert read_reason("  INC\x1b-47 ") == "INC�-47"
    assert len(read_reason("x" * 1000)) == MOST


async def test_the_key_asks_once_and_every_order_carries_it() -> None:
    feed = ScriptedFeed(live_messages(incident()))
    async with console(LARGE, feed) as pilot:
        await pilot.press("7")
        await drawn(pilot)
        await pilot.press("t")
        await until(pilot, lambda: len(feed.reasons) == 1)
        assert feed.reasons[0].startswith("seen: planner waits")
        await say(pilot, "INC-47")
        assert "why: INC-47" in await drawn(pilot)
        await pilot.press("p")
        await until(pilot, lambda: len(feed.reasons) == 2)
        assert feed.reasons[1].startswith("INC-47; seen: planner waits")
        await say(pilot, "")
        assert "why:" not in await drawn(pilot)
        await pilot.press("W", "escape")
        await drawn(pilot)


async def test_to_undo_says_what() -> None:
    feed = ScriptedFeed(live_messages([]))
    async with console(LARGE, feed) as pilot:
        pin = e.ActionTaken(t_ns=1, id="a", kind="pin", agent="coder", by="ann@desk", result="pinned")
        feed.tell(batch([e.AgentSeen(t_ns=1, agent="coder", label="", fingerprint="", declared=True), pin], 1))
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == 2)
        await pilot.press("U")
        await drawn(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "unpin", {"agent": "coder"})]
        assert feed.reasons == ["undoes 'pin coder' of ann@desk"]
