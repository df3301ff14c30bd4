"""What operators did and how it is undone, from events alone; then the screen that lists it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from operators import AFTER_NS, EVENTS, act, heard, newest
from scenario import NODE
from staging import LARGE, SMALL, ScriptedFeed, batch, drawn, live_messages, policies, screen_text, toasts, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.commands import Order
from radixdeck.console.operator_log import BEFORE, MOST, OperatorLog, newest_of, standing, undo
from radixdeck.console.settings import Settings
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, fold

Compare = Callable[..., bool]


@pytest.mark.parametrize(
    ("event", "words", "name", "arguments"),
    [
        (act("pin"), "pin coder", "unpin", {"agent": "coder"}),
        (act("retain", amount=2000.0), "retain coder", "retain", {"agent": "coder", "tokens": -1}),
        (act("boost", amount=2.0), "boost coder +2", "boost", {"agent": "coder", "amount": 0}),
        (act("quarantine"), "quarantine coder", "release", {"agent": "coder"}),
        (act("unpin"), "unpin coder", "pin", {"agent": "coder"}),
        (
            ev.TunableChanged(t_ns=AFTER_NS, policy="kv_caching", name="horizon", value=3.0, by="ann"),
            "kv_caching.horizon 2 -> 3",
            "tune",
            {"policy": "kv_caching", "name": "horizon", "value": 2.0},
        ),
        (
            ev.PolicySwitched(t_ns=AFTER_NS, policy="lru", enabled=True, by="ann"),
            "switch lru on",
            "policy",
            {"name": "kv_caching", "enabled": True},
        ),
    ],
)
def test_what_can_be_undone_is(event: ev.AnyEvent, words: str, name: str, arguments: dict[str, Any]) -> None:
    log, run = heard(event)
    done, known = newest(log, run)
    assert (done.words, done.by) == (words, "ann")
    assert standing(done, run, known) == "in force"
    order, why = undo(done, run, known)
    assert order is not None, why
    assert (order.name, order.arguments) == (name, arguments)


@pytest.mark.parametrize("later", ["safety", "fairness"])
def test_a_switch_in_another_slot_ends_none(later: str) -> None:
    """lru goes on deciding, and can be undone."""
    log, run = heard(
        ev.PolicySwitched(t_ns=AFTER_NS, policy="lru", enabled=True, by="ann"),
        ev.PolicySwitched(t_ns=AFTER_NS, policy=later, enabled=True, by="ann"),
    )
    _, switched = log.listed(run)[:2]
    assert switched.name == "lru"
    assert standing(switched, run, newest_of(log.listed(run))) == "in force"
    assert undo(switched, run, newest_of(log.listed(run)))[0] is not None


def test_a_switch_ends_when_another_policy_takes_its_slot() -> None:
    log, run = heard(
        ev.PolicySwitched(t_ns=AFTER_NS, policy="lru", enabled=True, by="ann"),
        ev.PolicySwitched(t_ns=AFTER_NS, policy="kv_caching", enabled=True, by="ann"),
        ev.PolicySwitched(t_ns=AFTER_NS, policy="lru", enabled=False, by="host", why="kv_caching took the slot"),
    )
    known = newest_of(log.listed(run))
    assert [standing(done, run, known) for done in log.listed(run)[:2]] == ["in force", "over"]


def test_what_a_second_order_stopped_retaining_is_retained_again_as_much() -> None:
    log, run = heard(act("retain", amount=2000.0), act("retain", amount=-1.0))
    stopped, retained = log.listed(run)[:2]
    known = newest_of(log.listed(run))
    assert [standing(one, run, known) for one in (stopped, retained)] == ["in force", "over"]
    again = Order("retain", {"agent": "coder", "tokens": 2000.0}, "retain 2,000 tok of coder again")
    assert undo(stopped, run, known) == (again, "")


def test_undoing_is_an_action_too_and_ends_the_one_before() -> None:
    log, run = heard(act("pin"), act("unpin"))
    unpin, pin = log.listed(run)[:2]
    assert [standing(one, run, newest_of(log.listed(run))) for one in (unpin, pin)] == ["in force", "over"]
    assert undo(pin, run, newest_of(log.listed(run)))[0] is None
    assert "not in force" in undo(pin, run, newest_of(log.listed(run)))[1]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (act("evict", tokens=40), "evict coder cannot be undone: what was evicted must be computed again"),
        (
            ev.CommandReceived(t_ns=AFTER_NS, id="1", name="flush", by="ann", ok=True),
            "flush cannot be undone: the cache was emptied",
        ),
        (act("warm"), "cannot be undone"),
        (act("retain", amount=-1.0), "what was retained before"),
    ],
)
def test_what_cannot_be_undone_says_why(event: ev.AnyEvent, words: str) -> None:
    log, run = heard(event)
    done, known = newest(log, run)
    order, why = undo(done, run, known)
    assert order is None
    assert words in why


def test_a_tune_of_which_nothing_before_is_known_cannot_be_taken_back() -> None:
    """As after joining in mid-run: the event is in the state already. A second one is known from the first."""
    log, run = OperatorLog(), RunState()
    for seq, value in enumerate((3.0, 4.0)):
        event = ev.TunableChanged(t_ns=1, policy="kv_caching", name="horizon", value=value)
        fold(run, event)
        log.add(seq, event, None, policies())
    second, first = log.listed(run)
    order, _ = undo(second, run, newest_of(log.listed(run)))
    assert order is not None
    assert order.arguments["value"] == 3.0
    assert first.before is None
    alone = OperatorLog()
    alone.add(0, ev.TunableChanged(t_ns=1, policy="kv_caching", name="horizon", value=4.0), None, policies())
    assert "what it was before is not known" in undo(alone.listed(run)[0], run, newest_of(alone.listed(run)))[1]


def test_what_a_policy_of_another_make_does_is_no_order_though_it_was_folded_before() -> None:
    log = OperatorLog()
    tuned = ev.TunableChanged(t_ns=1, policy="kv_caching", name="horizon", value=4.0, by="theirs")
    log.add(0, tuned, None, None, {"theirs": True})
    log.add(1, ev.TunableChanged(t_ns=1, policy="kv_caching", name="horizon", value=4.0, by="me"), None, None)
    assert [done.by for done in log.listed(RunState())] == ["me"]


def test_what_policies_and_the_host_do_is_no_order() -> None:
    log, run = heard(
        ev.ActionTaken(t_ns=AFTER_NS, id="1", kind="warm", agent="coder", by="kv_caching"),
        ev.PolicySwitched(t_ns=AFTER_NS, policy="lru", enabled=True, by="host"),
    )
    assert len(log) == 0
    assert [done.why for done in log.listed(run)] == [BEFORE]


def test_what_was_in_force_before_is_listed_and_undone() -> None:
    """The scenario's pin of planner, which this log never heard."""
    log, run = heard()
    done, known = newest(log, run)
    assert (done.words, done.by, done.why) == ("pin planner", "", BEFORE)
    order, _ = undo(done, run, known)
    assert order is not None
    assert (order.name, order.arguments) == ("unpin", {"agent": "planner"})


def test_a_refusal_is_listed_once_with_its_reason() -> None:
    refused = act("pin", "ghost", ok=False, result="no such agent")
    command = ev.CommandReceived(
        t_ns=AFTER_NS + 1, id="2", name="pin", by="ann", ok=False, detail="no such agent", arguments={"agent": "ghost"}
    )
    log, run = heard(refused, command)
    assert len(log) == 1
    done, known = newest(log, run)
    assert standing(done, run, known) == "refused: no such agent"
    assert undo(done, run, known)[0] is None


def test_it_is_bounded_and_forgets_what_has_not_happened_yet() -> None:
    log, run = OperatorLog(), RunState()
    for seq in range(MOST + 20):
        log.add(seq, act("pin", f"a{seq}"), run, None)
        log.add(seq, act("pin", f"a{seq}"), run, None)
    assert len(log) == MOST
    log.forget_after(MOST)
    assert len(log) == MOST - 19
    log.add(MOST + 1, act("unpin"), run, None)
    assert log.listed(run)[0].kind == "unpin"


@pytest.mark.parametrize("odd", [{"agent": None}, {"node": "x"}, {"value": "much"}, {}])
def test_odd_arguments_of_a_command_are_survived(odd: dict[str, Any]) -> None:
    log, run = heard(ev.CommandReceived(t_ns=1, id="1", name="tune", by="", ok=False, detail="no", arguments=odd))
    done, known = newest(log, run)
    assert standing(done, run, known) == "refused: no"


# ---- the screen ------------------------------------------------------------------------------------------------------

STORY: list[ev.AnyEvent] = [
    act("pin", why="its anchor keeps going"),
    act("evict", "tester", tokens=300),
    ev.TunableChanged(t_ns=AFTER_NS + 10**9, policy="kv_caching", name="horizon", value=3.0, by="bob", why="longer"),
]


def console_after(feed: ScriptedFeed) -> ConsoleApp:
    """Joined at the end of the scenario; the rest comes live, with the daemon's table known."""
    feed.tell(batch(STORY, len(EVENTS) + 1))
    return ConsoleApp(feed, animate=False, clock=lambda: 5.0)


async def open_orders(pilot: Pilot[None]) -> None:
    await drawn(pilot)
    await pilot.press("3", "U")
    await drawn(pilot)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_looks(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = console_after(ScriptedFeed(live_messages(EVENTS, joined_at=len(EVENTS))))
    assert snap_compare(app, terminal_size=size, run_before=open_orders)


async def test_the_screen_undoes_what_another_console_did() -> None:
    feed = ScriptedFeed(live_messages(EVENTS, joined_at=len(EVENTS)))
    app = console_after(feed)
    async with app.run_test(size=(140, 40)) as pilot:
        await open_orders(pilot)
        text = await drawn(pilot)
        assert "kv_caching.horizon 2 -> 3" in text
        assert "bob" in text
        assert "its anchor keeps going" in text
        assert "enter would set kv_caching.horizon back to 2" in text
        await pilot.press("enter")
        await until(pilot, lambda: len(feed.orders) == 1)
        await pilot.press("down")
        assert "evict tester: evict tester cannot be undone" in await drawn(pilot)
        await pilot.press("u")
        await until(pilot, lambda: "cannot be undone" in toasts(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(feed.orders) == 2)
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(feed.orders) == 3)
        assert feed.orders == [
            (NODE, "tune", {"policy": "kv_caching", "name": "horizon", "value": 2.0}),
            (NODE, "unpin", {"agent": "coder"}),
            (NODE, "unpin", {"agent": "planner"}),
        ]
        await pilot.press("escape")
        await drawn(pilot)
        assert app.screen.query("#agents")


async def test_the_key_that_opens_it_goes_back_whatever_key_it_is_and_the_palette_opens_it() -> None:
    feed = ScriptedFeed(live_messages(EVENTS, joined_at=len(EVENTS)))
    app = ConsoleApp(feed, animate=False, settings=Settings(keys={"app.undo": "f9"}))
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("3", "f9")
        await until(pilot, lambda: bool(app.screen.query("#orders")))
        await pilot.press("f9")
        await until(pilot, lambda: bool(app.screen.query("#agents")))
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        assert {"Undo", "Export", "Picture"} <= commands.keys()
        commands["Undo"].callback()
        await until(pilot, lambda: bool(app.screen.query("#orders")))


async def test_to_quarantine_again_is_asked_first() -> None:
    feed = ScriptedFeed(live_messages(EVENTS, joined_at=len(EVENTS)))
    feed.tell(batch([act("quarantine", "Coder"), act("release", "Coder")], len(EVENTS) + 1))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await open_orders(pilot)
        app.screen.query_one("#orders", SyncTable).move_cursor(row=0)
        await pilot.press("enter")
        await until(pilot, lambda: "quarantine Coder?" in screen_text(app))
        assert feed.orders == []
        await pilot.press("y")
        await until(pilot, lambda: feed.orders == [(NODE, "quarantine", {"agent": "Coder"})])


@pytest.mark.parametrize("done", [[], [act("quarantine", "Coder"), act("release", "Coder")]])
async def test_read_only_lists_and_refuses(done: list[ev.AnyEvent]) -> None:
    """Also what would be asked first."""
    feed = ScriptedFeed(live_messages(EVENTS, joined_at=len(EVENTS)))
    feed.tell(batch(done, len(EVENTS) + 1))
    app = ConsoleApp(feed, True, animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await open_orders(pilot)
        app.screen.query_one("#orders", SyncTable).move_cursor(row=0)
        await pilot.press("enter")
        await until(pilot, lambda: "read-only" in toasts(app))
        assert feed.orders == []
