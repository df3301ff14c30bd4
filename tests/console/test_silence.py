"""A daemon that is not heard any more though the broker is: no screen shows it as live, whatever its status said."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from brokers import open_raw, until
from scenario import NODE, folded, run_events
from staging import LARGE, ScriptedFeed, drawn, keyframe, live_messages, policies, status

from radixdeck.console import headless, silence
from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import Connection, NodeCleared, NodeMetrics, NodePolicies
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.screens.fleet import fleet_row, line_of
from radixdeck.console.widgets.status_line import connection_words
from radixdeck.daemon.wire import BrokerAddress, Metrics, topic

EVENTS = run_events()
LONG_S = 15.0
PRODUCTS_OWN_S = silence.SILENT_S
"""As it is outside of tests, in which nobody falls silent."""
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _falls_silent(monkeypatch: pytest.MonkeyPatch, _nobody_falls_silent: None) -> None:
    monkeypatch.setattr(silence, "SILENT_S", LONG_S)


class Stage:
    """A state with a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.fleet = FleetState(lambda: self.now_s)
        for message in (Connection(True), status(), keyframe(folded(EVENTS), len(EVENTS))):
            self.fleet.apply(message)

    @property
    def live(self) -> bool:
        """Whether the status line says so, which is as the fleet's row says it."""
        entry = self.fleet.nodes[NODE]
        words, live = connection_words(self.fleet, entry)
        line = line_of(self.fleet, entry, replayed=False)
        row = [str(cell) for cell in fleet_row(self.fleet, line, replayed=False, shown=True)]
        assert (row[0], row[2]) == (("●", "ready") if live else ("○", "away"))
        assert ("not heard for" in words, "not heard for" in line.alert) == (not live, not live)
        return live


@pytest.mark.parametrize("chosen", [False, True])
async def test_who_said_long_ago_that_it_is_up_gives_way_to_one_that_is_heard(chosen: bool) -> None:
    now_s = 100.0
    feed = ScriptedFeed([Connection(True), status(node="gone"), *live_messages(EVENTS)])
    app = ConsoleApp(feed, animate=False)
    app.fleet = FleetState(lambda: now_s)
    async with app.run_test(size=LARGE) as pilot:
        await drawn(pilot)
        assert app.entry is not None
        assert app.entry.node == "gone"
        if chosen:
            app.look_at("gone")
        now_s += LONG_S
        feed.tell(NodeMetrics(NODE, Metrics(t_ns=1)))
        await drawn(pilot)
        assert app.entry.node == ("gone" if chosen else NODE)


async def test_who_was_heard_and_falls_silent_stays_on_the_screen() -> None:
    now_s = 100.0
    feed = ScriptedFeed([*live_messages(EVENTS), NodeMetrics(NODE, Metrics(t_ns=1)), status(node="box-2")])
    app = ConsoleApp(feed, animate=False)
    app.fleet = FleetState(lambda: now_s)
    async with app.run_test(size=LARGE) as pilot:
        await drawn(pilot)
        now_s += LONG_S
        feed.tell(NodeMetrics("box-2", Metrics(t_ns=1)))
        await drawn(pilot)
        assert app.entry is not None
        assert app.entry.node == NODE


def test_a_daemon_is_live_while_it_tells_anything_and_not_once_it_told_nothing_for_long() -> None:
    stage = Stage()
    for message in (NodeMetrics(NODE, Metrics(t_ns=1)), NodePolicies(NODE, policies()), status()):
        stage.now_s += LONG_S - 1
        assert stage.live
        stage.fleet.apply(message)
    stage.now_s += LONG_S
    assert not stage.live
    stage.fleet.apply(NodeMetrics(NODE, Metrics(t_ns=2)))
    assert stage.live


def test_a_daemon_that_ended_while_the_broker_was_away_is_not_live_for_ever() -> None:
    """The broker kept the status that it was online with, or nothing."""
    for kept in ([status()], []):
        stage = Stage()
        stage.fleet.apply(Connection(False, "gone"))
        stage.now_s += 3600
        assert not stage.fleet.is_silent(stage.fleet.nodes[NODE])
        for message in (Connection(True), *kept):
            stage.fleet.apply(message)
        stage.now_s += LONG_S - 1
        assert stage.live
        stage.now_s += 1
        assert not stage.live


def test_it_takes_as_long_as_the_document_says() -> None:
    assert f"of whom it has heard nothing for {PRODUCTS_OWN_S:.0f} s" in README


def test_told_again_that_the_broker_is_there_it_stays_silent() -> None:
    stage = Stage()
    stage.now_s += LONG_S
    stage.fleet.apply(Connection(True))
    assert not stage.live


def test_a_silent_daemon_that_the_broker_knows_no_more_is_dropped() -> None:
    stage = Stage()
    stage.now_s += LONG_S
    stage.fleet.apply(NodeCleared(NODE))
    assert stage.fleet.nodes == {}


def test_a_replay_that_stands_still_is_no_silence() -> None:
    stage = Stage()
    fleet = FleetState(lambda: stage.now_s, event_clock=lambda: 5)
    for message in (Connection(True), status()):
        fleet.apply(message)
    stage.now_s += 3600
    assert fleet.is_live(fleet.nodes[NODE])


async def test_the_screen_says_for_how_long_and_no_state_of_the_engine() -> None:
    now_s = 100.0
    app = ConsoleApp(ScriptedFeed(live_messages(EVENTS)), animate=False, clock=lambda: now_s)
    async with app.run_test(size=LARGE) as pilot:
        text = await drawn(pilot)
        assert "● box-1 up" in text
        assert "engine ready" in text
        now_s += 75.0
        text = await drawn(pilot)
        assert "○ box-1 not heard for 1 min 15 s; what was seen stays on screen" in text
        assert "! not heard for 1 min 15 s" in text
        assert "engine ready" not in text
        assert pilot.app.screen.has_class("-lost")


async def test_tail_waits_no_longer_for_a_daemon_that_is_not_heard(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broker kept of a daemon that ended without a last will."""
    monkeypatch.setattr(headless, "SILENT_S", 0.2)
    notes = io.StringIO()
    async with open_raw(broker) as raw:
        kept = b'{"node": "box-1", "online": true, "state": "ready"}'
        await raw.publish(topic(NODE, "status"), kept, retain=True)
        await raw.publish(topic("box-2", "metrics"), b"{}", retain=True)  # heard, and not said to be there
        task = asyncio.create_task(headless.tail(broker, timeout_s=0.5, out=io.StringIO(), notes=notes))
        await until(task.done, "tail gives up")
    assert await task == headless.NO_DAEMON
    assert "nothing heard of box-1 for 0 s: waited 0.5 s" in notes.getvalue()
