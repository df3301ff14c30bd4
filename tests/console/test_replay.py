"""A recording in the same screens: it plays, steps, seeks, refuses orders, and shows what the live console showed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from scenario import NODE, T0_NS, folded, run_events
from staging import drawn, recorded, screen_text, toasts, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import SPEEDS, ReplayFeed
from radixdeck.console.feed_messages import FeedMessage, NodeKeyframe, NodeOrders
from radixdeck.console.fleet_state import FleetState
from radixdeck.policies.residency import RunState
from radixdeck.storage.session import Session

EVENTS = run_events()
LAST_NS = EVENTS[-1].t_ns


class Clock:
    """Time that passes by `step_s` whenever somebody looks."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    opened = await recorded(tmp_path / "run.db", EVENTS)
    yield opened
    opened.close()


class Reader:
    """Folds what a replay says, as the console does."""

    def __init__(self, feed: ReplayFeed) -> None:
        self.feed, self.fleet = feed, FleetState(event_clock=lambda: feed.position_ns)
        self._messages = aiter(feed)

    @property
    def run(self) -> RunState:
        return self.fleet.nodes[NODE].run

    @property
    def seq(self) -> int:
        return self.fleet.nodes[NODE].seq

    async def read(self, messages: int) -> list[FeedMessage]:
        async with asyncio.timeout(15):
            got = [await anext(self._messages) for _ in range(messages)]
        for message in got:
            self.fleet.apply(message)
        return got


def moment(seq: int) -> int:
    """When the event with that number arrived."""
    return EVENTS[seq - 1].t_ns


def upto(t_ns: int) -> RunState:
    return folded([event for event in EVENTS if event.t_ns <= t_ns])


@pytest.mark.parametrize("seq", [1, 99, 100, 101, 333, len(EVENTS)])
async def test_a_seek_shows_the_state_of_that_moment(session: Session, seq: int) -> None:
    feed = ReplayFeed(session, playing=False)
    reader = Reader(feed)
    await reader.read(4)
    feed.seek(moment(seq))
    told = await reader.read(2)
    await reader.read(isinstance(told[1], NodeOrders))
    assert reader.run == upto(moment(seq))
    log = list(reader.fleet.nodes[NODE].log)
    assert log[-1].seq == reader.seq
    assert feed.position_ns == moment(seq)


async def test_seeking_back_and_forth_ends_where_it_should(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    reader = Reader(feed)
    await reader.read(4)
    for seq in (400, 50, 350, 200):
        feed.seek(moment(seq))
        await reader.read(2)
        assert reader.run == upto(moment(seq))


async def test_seeks_are_clamped(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    feed.jump(-1e6)
    assert feed.position_ns == session.first_ns
    feed.seek(2**62)
    assert feed.position_ns == LAST_NS


async def test_stepping_goes_event_by_event_and_moment_by_moment_back(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    reader = Reader(feed)
    await reader.read(4)
    feed.seek(moment(120))
    await reader.read(2)
    start = reader.seq
    for number in range(1, 6):
        feed.step(1)
        await reader.read(1)
        assert reader.seq == start + number
        assert reader.run == folded(EVENTS[: reader.seq])
    here = feed.position_ns
    feed.step(-1)
    await reader.read(2)
    assert feed.position_ns < here
    assert reader.seq < start + 5
    assert reader.run == folded(EVENTS[: reader.seq])


async def test_stepping_back_at_the_start_stays_there(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    reader = Reader(feed)
    await reader.read(4)
    feed.step(-1)
    await reader.read(1)
    assert feed.position_ns == session.first_ns


async def test_playing_passes_every_event_once_at_its_speed(session: Session) -> None:
    clock = Clock(0.3)
    feed = ReplayFeed(session, speed=4.0, clock=clock)
    feed.skip_idle = False
    reader = Reader(feed)
    await reader.read(4)
    while reader.seq < len(EVENTS):
        await reader.read(1)
        assert reader.run == upto(feed.position_ns)
    assert feed.position_ns == LAST_NS
    assert not feed.playing
    assert clock.now_s * 4.0 == pytest.approx((LAST_NS - T0_NS) / 1e9, abs=5.0)


async def test_time_that_passed_in_a_pause_is_not_made_up_for(session: Session) -> None:
    clock = Clock(0.0)
    feed = ReplayFeed(session, playing=False, clock=clock)
    reader = Reader(feed)
    await reader.read(4)
    clock.now_s += 3600
    feed.toggle()
    clock.step_s = 0.1
    await reader.read(1)
    assert feed.position_ns < session.first_ns + 3 * 10**9


async def test_idle_stretches_are_skipped(tmp_path: Path) -> None:
    late = [msgspec.structs.replace(event, t_ns=event.t_ns + 3600 * 10**9) for event in EVENTS[300:]]
    session = await recorded(tmp_path / "gap.db", [*EVENTS[:300], *late])
    clock = Clock(0.05)
    reader = Reader(ReplayFeed(session, speed=64.0, clock=clock))
    await reader.read(4)
    while reader.seq < len(EVENTS):
        await reader.read(1)
    assert clock.now_s < 5
    session.close()


async def test_speeds_have_ends(session: Session) -> None:
    feed = ReplayFeed(session)
    feed.change_speed(100)
    assert feed.speed == SPEEDS[-1]
    feed.change_speed(-100)
    assert feed.speed == SPEEDS[0]


async def test_an_empty_recording_plays_nothing(tmp_path: Path) -> None:
    session = await recorded(tmp_path / "empty.db", [])
    app = ConsoleApp(ReplayFeed(session), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        for mode in "1234567890":
            await pilot.press(mode, "right_square_bracket", "left_square_bracket", "G", "g", "M")
            await drawn(pilot)
        assert "recorded" in await drawn(pilot)
    session.close()


async def test_the_keys_of_a_replay(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("right_curly_bracket")
        assert feed.position_ns == session.first_ns + 10 * 10**9
        await pilot.press("left_curly_bracket", "plus", "plus", "minus")
        assert (feed.position_ns, feed.speed) == (session.first_ns, 2.0)
        await pilot.press("G")
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS))
        assert "‖ 2x" in await drawn(pilot)
        await pilot.press("colon")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        await pilot.press("home", "shift+end", "delete", *"0:05", "enter")
        await until(pilot, lambda: feed.position_ns == session.first_ns + 5 * 10**9)
        await until(pilot, lambda: app.fleet.nodes[NODE].run == upto(feed.position_ns))
        await pilot.press("6", "space")
        assert feed.playing
        assert "playing at 2x" in await drawn(pilot)
        await pilot.press("5", "space")
        assert not feed.playing


async def test_a_click_on_the_strip_goes_there(session: Session) -> None:
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("6")
        await drawn(pilot)
        await pilot.click("#strip", offset=(60, 1))
        share = (feed.position_ns - session.first_ns) / (session.last_ns - session.first_ns)
        assert share == pytest.approx(0.5, abs=0.03)


async def test_orders_are_refused_in_a_replay(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test() as pilot:
        await pilot.press("3", "G")
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        await drawn(pilot)
        await pilot.press("e")
        await until(pilot, lambda: "what happened cannot be changed" in toasts(app))


async def test_policies_of_a_replay_come_from_its_events(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4", "G")
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        text = await drawn(pilot)
        line = next(line for line in text.splitlines() if "kv_caching" in line and "eviction" in line)
        assert "[x]" in line


async def test_who_seeks_on_does_not_wait_for_the_policies(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    thought: list[int] = []
    monkeypatch.setattr("radixdeck.console.twin.Twin.follow", lambda _, seq: thought.append(seq))
    feed = ReplayFeed(session, playing=False)
    messages = aiter(feed)
    for _ in range(4):
        await anext(messages)
    for seq in (50, 100, 150):
        feed.seek(EVENTS[seq - 1].t_ns)
        keyframe, _ = await anext(messages), await anext(messages)
        assert isinstance(keyframe, NodeKeyframe)
        assert keyframe.keyframe.t_ns == EVENTS[seq - 1].t_ns
    assert thought == []


async def test_a_live_recording_grows_while_it_is_looked_at(tmp_path: Path) -> None:
    from radixdeck.storage.files import RunInfo
    from radixdeck.storage.recorder import Recorder
    from radixdeck.storage.session import open_session

    info = RunInfo(run="r", node=NODE, started_ns=T0_NS, version="0", model="m", config={})
    recorder = Recorder(tmp_path / "live.db", info)
    writing = asyncio.create_task(recorder.run())
    for seq, event in enumerate(EVENTS[:200], 1):
        recorder.record(seq, event)
    while recorder.backlog:  # noqa: ASYNC110 - a recorder tells nobody when it has written
        await asyncio.sleep(0.01)
    session = open_session(tmp_path / "live.db")
    app = ConsoleApp(ReplayFeed(session, speed=64.0), animate=False)
    async with app.run_test() as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == 200)
        for seq, event in enumerate(EVENTS[200:], 201):
            recorder.record(seq, event)
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS))
        assert app.fleet.nodes[NODE].run == folded(EVENTS)
        assert screen_text(app)
    await recorder.close()
    await writing
    session.close()
