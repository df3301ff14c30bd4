"""A replay of a recording that is still written: its end moves on, and everything that shows it does too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from background import beside
from scenario import NODE, RUN, T0_NS, run_events

from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import FeedMessage
from radixdeck.console.jumps import marks
from radixdeck.console.strip import BUCKETS
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

EVENTS = run_events()
HALF_NS, LAST_NS = EVENTS[199].t_ns, EVENTS[-1].t_ns


class Growing:
    """A recording with 200 events so far, and a replay of it that somebody reads."""

    def __init__(self, path: Path) -> None:
        info = RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config={})
        self.recorder, self.path = Recorder(path, info), path
        self.messages: list[FeedMessage] = []
        self._written = 0

    async def write(self, upto: int) -> None:
        for seq in range(self._written + 1, upto + 1):
            self.recorder.record(seq, EVENTS[seq - 1])
        self._written = upto
        await self.recorder.flush()

    async def read(self) -> None:
        async for message in self.feed:
            self.messages.append(message)

    def open(self) -> None:
        self.session = open_session(self.path)
        self.feed = ReplayFeed(self.session, playing=False, speed=64.0)


@pytest.fixture
async def growing(tmp_path: Path) -> AsyncIterator[Growing]:
    found = Growing(tmp_path / "live.db")
    await found.write(200)
    found.open()
    async with beside(found.read()):
        yield found
    await found.recorder.close()
    # A reading that was given up still goes on in its thread, and a connection must not be closed under it.
    await asyncio.get_running_loop().shutdown_default_executor()
    found.session.close()


async def holds(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_the_end_that_one_goes_to_is_the_present_one(growing: Growing) -> None:
    feed = growing.feed
    feed.seek(2**62)
    assert feed.position_ns == HALF_NS
    await holds(lambda: feed._seq == 200)
    await growing.write(len(EVENTS))
    feed.seek(2**62)
    await holds(lambda: feed._seq == len(EVENTS))
    assert feed.position_ns == feed.last_ns == LAST_NS


async def test_going_on_after_a_pause_at_the_end_goes_on_there(growing: Growing) -> None:
    feed = growing.feed
    feed.seek(HALF_NS)
    await holds(lambda: feed._seq == 200)
    feed.toggle()
    await growing.write(len(EVENTS))
    await holds(lambda: feed._seq > 200)
    assert feed.position_ns > HALF_NS
    await holds(lambda: feed._seq == len(EVENTS))
    feed.toggle()
    feed.toggle()
    await asyncio.sleep(0.3)
    assert (feed.playing, feed.position_ns) == (True, LAST_NS)


async def test_where_nothing_more_is_written_it_starts_again(growing: Growing) -> None:
    feed = growing.feed
    feed.seek(HALF_NS)
    await holds(lambda: feed._seq == 200)
    await growing.recorder.close()
    feed.toggle()
    await holds(lambda: feed._seq < 100)
    assert feed.position_ns < HALF_NS


async def test_the_strip_and_its_signs_show_what_was_gained(growing: Growing) -> None:
    feed = growing.feed
    before = feed.strip.density, feed.strip.marks
    await growing.write(len(EVENTS))
    feed.seek(2**62)
    await holds(lambda: feed.strip.density != before[0])
    assert feed.strip.density == growing.session.density(BUCKETS)
    assert feed.strip.marks == marks(growing.session) != before[1]


async def test_a_step_at_the_end_goes_to_what_was_written_since(growing: Growing) -> None:
    feed = growing.feed
    feed.seek(2**62)
    await holds(lambda: feed._seq == 200)
    await growing.write(210)
    feed.step(1)
    await holds(lambda: feed._seq == 201)
