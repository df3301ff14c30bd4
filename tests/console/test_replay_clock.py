"""The clock of a replay: it never goes back by itself, keeps short pauses, and does not count what reading takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from scenario import T0_NS
from staging import recorded
from test_replay import Clock, Reader

from radixdeck.console.feed import IDLE_S, ReplayFeed
from radixdeck.console.feed_messages import NodeKeyframe
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState
from radixdeck.storage.session import Session

S = 1_000_000_000
Opener = Callable[..., Awaitable[Session]]


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Opener]:
    """A recording of one event at each of these seconds."""
    opened: list[Session] = []

    async def recorded_at(*times_s: float) -> Session:
        flushes: list[e.AnyEvent] = [e.CacheFlushed(t_ns=T0_NS + int(time_s * S)) for time_s in times_s]
        opened.append(await recorded(tmp_path / "run.db", flushes))
        return opened[-1]

    yield recorded_at
    for session in opened:
        session.close()


async def begun(feed: ReplayFeed) -> Reader:
    """One that shows the beginning."""
    reader = Reader(feed)
    await reader.read(4)
    return reader


async def reached(reader: Reader, seq: int) -> None:
    while reader.seq != seq:
        await reader.read(1)


async def sought(reader: Reader) -> int:
    """The number of the event that is shown once the replay has gone elsewhere."""
    while not isinstance((await reader.read(1))[0], NodeKeyframe):
        pass
    return reader.seq


async def test_a_pause_that_is_not_idle_is_played_as_long_as_it_was(
    at: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.console.feed.TICK_S", 0.0)
    times_s, clock = (0.0, 0.9, IDLE_S + 0.8), Clock(0.05)
    reader = await begun(ReplayFeed(await at(*times_s), clock=clock))
    await reached(reader, len(times_s))
    assert clock.now_s >= times_s[-1]


async def test_what_a_seek_takes_is_not_played(at: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    session, clock = await at(0.0, 1.0, 2.5, 20.0), Clock(0.05)
    feed = ReplayFeed(session, playing=False, clock=clock)
    reader, state_at = await begun(feed), session.state_at

    def slow(t_ns: int) -> tuple[int, RunState]:
        monkeypatch.setattr(session, "state_at", state_at)
        clock.now_s += 10.0
        return state_at(t_ns)

    monkeypatch.setattr(session, "state_at", slow)
    feed.toggle()
    feed.seek(T0_NS + S)
    await reached(reader, 3)
    assert feed.position_ns < T0_NS + 3 * S


async def test_a_step_to_an_event_whose_clock_was_behind_does_not_go_back(at: Opener) -> None:
    feed = ReplayFeed(await at(0.0, 3.0, 1.0, 4.0), playing=False)
    reader, places = await begun(feed), list[int]()
    for seq in (2, 3, 4):
        feed.step(1)
        await reached(reader, seq)
        places.append((feed.position_ns - T0_NS) // S)
    assert places == [3, 3, 4]


async def test_a_step_back_leaves_all_events_of_a_moment_behind(at: Opener) -> None:
    feed = ReplayFeed(await at(0.0, 1.0, 2.0, 2.0, 2.0), playing=False)
    reader = await begun(feed)
    feed.seek(feed.last_ns)
    await reached(reader, 5)
    for seq in (2, 1):
        feed.step(-1)
        assert await sought(reader) == seq
