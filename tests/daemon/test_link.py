"""The daemon's end of the link against a bare socket that behaves as an engine may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import uvloop
import zmq
import zmq.asyncio
from background import beside
from brokers import until

from radixdeck.daemon.engine.protocol import EventsSent, Hello, Snapshot
from radixdeck.daemon.link import EngineLink, LinkError
from radixdeck.policies.events import CacheFlushed, EngineEvent, EventsDropped


async def test_an_engine_too_busy_to_read_is_not_taken_for_gone(tmp_path: Path) -> None:
    seen: list[EngineEvent] = []
    heard = asyncio.Event()
    link = EngineLink(
        f"ipc://{tmp_path}/l.sock", lambda _seq, events: (seen.extend(events), heard.set()), lambda _: heard.set()
    )
    running = asyncio.create_task(link.run())
    context = zmq.asyncio.Context()
    engine = context.socket(zmq.DEALER)
    engine.setsockopt(zmq.LINGER, 0)
    engine.connect(f"ipc://{tmp_path}/l.sock")
    try:
        await engine.send(msgspec.json.encode(Hello(1, 0)))
        await asyncio.wait_for(heard.wait(), 10)
        refused = [not link.send(Snapshot(str(number))) for number in range(20_000)]
        assert any(refused), "the queue has an end"
        assert link.connected
        with pytest.raises(LinkError, match="too busy"):
            await link.order(Snapshot("one more"))
        for _ in range(refused.count(False)):
            await asyncio.wait_for(engine.recv(), 10)
        heard.clear()
        await engine.send(msgspec.json.encode(EventsSent(0, [CacheFlushed(t_ns=1)])))
        await asyncio.wait_for(heard.wait(), 10)
        assert seen == [CacheFlushed(t_ns=1)]
        assert link.send(Snapshot("again"))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        engine.close()
        context.term()


async def test_what_an_engine_has_said_is_taken_before_it_is_forgotten(tmp_path: Path) -> None:
    seen: list[EngineEvent] = []
    greeted = asyncio.Event()
    link = EngineLink(f"ipc://{tmp_path}/l.sock", lambda _seq, events: seen.extend(events), lambda _: greeted.set())
    running = asyncio.create_task(link.run())
    context = zmq.asyncio.Context()
    engine = context.socket(zmq.DEALER)
    engine.connect(f"ipc://{tmp_path}/l.sock")
    try:
        await engine.send(msgspec.json.encode(Hello(1, 0)))
        await asyncio.wait_for(greeted.wait(), 10)
        while not seen:
            await engine.send(msgspec.json.encode(EventsSent(0, [CacheFlushed(t_ns=1)])))
            await asyncio.sleep(0.001)
            link.forget_engine("it is stopped")
            assert not link.connected
            if not seen:  # the frame was still on its way: greet again and have another try
                greeted.clear()
                await engine.send(msgspec.json.encode(Hello(1, 0)))
                await asyncio.wait_for(greeted.wait(), 10)
        assert seen == [CacheFlushed(t_ns=1)]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        engine.close()
        context.term()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_number_that_a_closed_descriptor_left_with_the_loop_does_not_make_the_link_deaf(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A daemon runs on uvloop, whoever embeds it on what it likes."""

    async def is_heard() -> None:
        loop, greeted = asyncio.get_running_loop(), asyncio.Event()
        context = zmq.Context()
        engine = context.socket(zmq.DEALER)
        engine.connect(f"ipc://{tmp_path}/l.sock")
        numbers = [os.eventfd(0) for _ in range(20)]
        for number in numbers:
            loop.add_reader(number, int)
        await asyncio.sleep(0.05)  # until the loop listens to them
        for number in numbers:
            os.close(number)
        link = EngineLink(f"ipc://{tmp_path}/l.sock", lambda _seq, _events: None, lambda _: greeted.set())
        async with beside(link.run()):
            engine.send(msgspec.json.encode(Hello(1, 0)))
            await asyncio.wait_for(greeted.wait(), 10)
        context.destroy(linger=0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(is_heard())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("taken", [True, False])
def test_a_link_whose_descriptor_others_take_for_theirs_is_not_deaf_for_long(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], taken: bool
) -> None:
    async def is_heard() -> None:
        loop, greeted = asyncio.get_running_loop(), asyncio.Event()
        context = zmq.Context()
        engine = context.socket(zmq.DEALER)
        engine.setsockopt(zmq.LINGER, 0)
        link = EngineLink(f"ipc://{tmp_path}/l.sock", lambda _seq, _events: None, lambda _: greeted.set())
        async with beside(link.run()):
            await asyncio.sleep(0.05)  # until it listens
            number: int = link._socket.fileno()  # pyright: ignore[reportPrivateUsage]
            if taken:
                loop.add_reader(number, int)
            else:
                loop.remove_reader(number)
            engine.connect(f"ipc://{tmp_path}/l.sock")
            for pid in (1, 2):
                greeted.clear()
                engine.send(msgspec.json.encode(Hello(pid, 0)))
                await asyncio.wait_for(greeted.wait(), 10)
        context.destroy(linger=0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(is_heard())


class Heard:
    """What the daemon hears over a link, batch by batch, of engines that each have a socket of their own."""

    def __init__(self, endpoint: str) -> None:
        self.batches: list[list[EngineEvent]] = []
        self.hellos: list[Hello] = []
        self.link = EngineLink(endpoint, lambda _seq, events: self.batches.append(events), self.hellos.append)
        self._endpoint = endpoint
        self._context = zmq.asyncio.Context()

    async def engine(self, pid: int) -> zmq.asyncio.Socket:
        """One that has connected and was heard."""
        engine, before = self._context.socket(zmq.DEALER), len(self.hellos)
        engine.connect(self._endpoint)
        await engine.send(msgspec.json.encode(Hello(pid, 0)))
        await until(lambda: len(self.hellos) > before, "it is greeted")
        return engine

    async def told(self, engine: zmq.asyncio.Socket, first_seq: int, *events: EngineEvent) -> list[EngineEvent]:
        """What is made of a batch that an engine sends, nothing if it is not heard."""
        self.batches.clear()
        garbage = self.link.garbage_frames
        await engine.send(msgspec.json.encode(EventsSent(first_seq, list(events))))
        await engine.send(b"the end of what is sent")
        await until(lambda: self.link.garbage_frames > garbage, "it has been read")
        return [event for batch in self.batches for event in batch]

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
async def heard(tmp_path: Path) -> AsyncIterator[Heard]:
    made = Heard(f"ipc://{tmp_path}/l.sock")
    async with beside(made.link.run()):
        yield made
    made.close()


FLUSHED = CacheFlushed(t_ns=7)


async def test_what_an_engine_could_not_send_while_it_connected_anew_is_missing(heard: Heard) -> None:
    await heard.told(await heard.engine(1), 0, FLUSHED, FLUSHED)
    assert await heard.told(await heard.engine(1), 5, FLUSHED) == [EventsDropped(t_ns=7, count=3), FLUSHED]


async def test_of_another_engine_nothing_is_missing_wherever_its_numbers_begin(heard: Heard) -> None:
    await heard.told(await heard.engine(1), 0, FLUSHED, FLUSHED)
    assert await heard.told(await heard.engine(2), 5, FLUSHED) == [FLUSHED]


async def test_an_engine_is_not_heard_once_another_has_said_hello(heard: Heard) -> None:
    old = await heard.engine(1)
    await heard.told(old, 0, FLUSHED)
    await heard.engine(2)
    assert await heard.told(old, 1, FLUSHED) == []


async def test_what_an_engine_says_is_missing_is_not_missing_twice(heard: Heard) -> None:
    engine, dropped = await heard.engine(1), EventsDropped(t_ns=7, count=3)
    await heard.told(engine, 0, FLUSHED)
    assert await heard.told(engine, 3, dropped, FLUSHED) == [dropped, FLUSHED]


async def test_orders_of_an_engine_that_connects_anew_fail_at_once(heard: Heard) -> None:
    engine = await heard.engine(1)
    ordered = asyncio.create_task(heard.link.order(Snapshot("one")))
    await asyncio.wait_for(engine.recv(), 10)
    await heard.engine(1)
    with pytest.raises(LinkError, match="connected anew"):
        await ordered
