"""Both ends of the link over a real ipc socket: the engine's never blocks, the daemon's never dies of garbage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest
import zmq
from background import beside

from radixdeck.daemon.engine.link import EngineSideLink
from radixdeck.daemon.engine.protocol import Answer, Hello, Order, Snapshot, Tune
from radixdeck.daemon.link import EngineLink, LinkError
from radixdeck.policies.events import CacheFlushed, EngineEvent, EventsDropped, SessionEnded


class Daemon:
    """The daemon's end with what it was told."""

    def __init__(self, endpoint: str) -> None:
        self.batches: list[tuple[int, list[EngineEvent]]] = []
        self.hellos: list[Hello] = []
        self.link = EngineLink(endpoint, lambda seq, events: self.batches.append((seq, events)), self.hellos.append)

    @property
    def events(self) -> list[EngineEvent]:
        return [event for _, batch in self.batches for event in batch]


@contextlib.asynccontextmanager
async def running(endpoint: str) -> AsyncIterator[Daemon]:
    daemon = Daemon(endpoint)
    async with beside(daemon.link.run()):
        yield daemon


async def until(condition: Callable[[], bool], turn: Callable[[], object] = lambda: None) -> None:
    """Wait for a condition, letting the engine's end take a turn each time, as the scheduler's loop does."""
    async with asyncio.timeout(10):
        while not condition():
            turn()
            await asyncio.sleep(0.002)


def fact(number: int) -> EngineEvent:
    return CacheFlushed(t_ns=number)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/link"


@pytest.fixture
def engine(endpoint: str):
    link = EngineSideLink(endpoint, rank=0, max_buffered_events=10)
    yield link
    link.close()


async def test_events_arrive_in_order_and_numbered(endpoint: str, engine: EngineSideLink) -> None:
    async with running(endpoint) as daemon:
        for number in range(5):
            engine.append(fact(number))
        await until(lambda: len(daemon.events) == 5, engine.flush)
        engine.append(fact(5))
        await until(lambda: len(daemon.events) == 6, engine.flush)
        assert [event.t_ns for event in daemon.events] == [0, 1, 2, 3, 4, 5]
        assert daemon.batches[-1][0] == 5
        assert len(daemon.hellos) == 1
        assert daemon.link.connected
        assert engine.unsent == 0


async def test_what_the_buffer_cannot_hold_is_counted_in_the_stream(endpoint: str, engine: EngineSideLink) -> None:
    for number in range(25):
        engine.append(fact(number))
        engine.flush()
    assert engine.unsent == 10
    async with running(endpoint) as daemon:
        await until(lambda: len(daemon.events) == 11, engine.flush)
        first, *rest = daemon.events
        assert isinstance(first, EventsDropped)
        assert first.count == 15
        assert [event.t_ns for event in rest] == list(range(15, 25))
        assert daemon.batches[0][0] == 14
        engine.append(fact(25))
        await until(lambda: len(daemon.events) == 12, engine.flush)
        assert daemon.batches[-1][0] == 25


async def test_the_daemon_may_restart(endpoint: str, engine: EngineSideLink) -> None:
    async with running(endpoint) as first:
        await until(lambda: bool(first.hellos), engine.flush)
    numbers = count(1)

    def turn() -> None:
        """Some may go down with the connection that is not known to be broken yet; the next one says how many."""
        engine.append(fact(next(numbers)))
        engine.flush()

    async with running(endpoint) as second:
        await until(lambda: any(isinstance(event, CacheFlushed) for event in second.events), turn)
        assert len(second.hellos) == 1


async def test_events_lost_on_the_way_are_reported(endpoint: str, engine: EngineSideLink) -> None:
    async with running(endpoint) as daemon:
        engine.append(fact(0))
        await until(lambda: len(daemon.events) == 1, engine.flush)
        engine._next_seq += 3  # pyright: ignore[reportPrivateUsage]  # three that a broken connection swallowed
        engine.append(fact(4))
        await until(lambda: len(daemon.events) == 3, engine.flush)
        assert daemon.events[1] == EventsDropped(t_ns=4, count=3)


async def test_an_order_is_answered_after_the_events_before_it(endpoint: str, engine: EngineSideLink) -> None:
    seen: list[Order] = []

    def turn() -> None:
        for order in engine.orders():
            seen.append(order)
            engine.append(fact(9))
            engine.answer(Answer(order.id, True, "done", 3))

    async with running(endpoint) as daemon:
        await until(lambda: daemon.link.connected, turn)
        order = Tune(daemon.link.new_id(), "lru", "x", 1.0)
        task = asyncio.create_task(daemon.link.order(order))
        await until(task.done, turn)
        assert task.result() == Answer(order.id, True, "done", 3)
        assert seen == [order]
        assert daemon.events == [fact(9)]
        assert daemon.link.send(Snapshot("s"))
        await until(lambda: len(seen) == 2, turn)


async def test_orders_without_an_engine_or_an_answer_fail_in_words(endpoint: str, engine: EngineSideLink) -> None:
    async with running(endpoint) as daemon:
        with pytest.raises(LinkError, match="no engine"):
            await daemon.link.order(Snapshot("1"))
        await until(lambda: daemon.link.connected, engine.flush)
        with pytest.raises(LinkError, match="did not answer order Snapshot 2 within"):
            await daemon.link.order(Snapshot("2"), timeout_s=0.05)


async def test_an_engine_that_went_away_is_noticed(endpoint: str) -> None:
    engine = EngineSideLink(endpoint)
    async with running(endpoint) as daemon:
        await until(lambda: daemon.link.connected, engine.flush)
        waiting = asyncio.create_task(daemon.link.order(Snapshot("1")))
        await until(lambda: bool(engine.orders()))
        engine.close()
        await until(lambda: not daemon.link.send(Snapshot("2")))
        assert not daemon.link.connected
        with pytest.raises(LinkError, match="went away"):
            await waiting


async def test_what_cannot_be_written_holds_nothing_up(endpoint: str, engine: EngineSideLink) -> None:
    unwritable = SessionEnded(t_ns=4, session="\ud800")
    async with running(endpoint) as daemon:
        for event in [fact(0), fact(1), fact(2), fact(3), unwritable, fact(5), fact(6), unwritable]:
            engine.append(event)
        await until(lambda: len(daemon.events) >= 7 and not engine.unsent, engine.flush)
        engine.append(fact(8))
        await until(lambda: len(daemon.events) == 9, engine.flush)
        dropped = [
            (place, event.count) for place, event in enumerate(daemon.events) if isinstance(event, EventsDropped)
        ]
        assert dropped == [(4, 1), (7, 1)]
        assert [event.t_ns for event in daemon.events] == [0, 1, 2, 3, 5, 5, 6, 8, 8]
        assert daemon.batches[-1][0] == 7


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b'{"type":"nonsense"}',
    b'{"type":"events","first_seq":"x","events":[]}',
    b"0" * 9,
]


async def test_garbage_is_counted_at_both_ends(endpoint: str, engine: EngineSideLink) -> None:
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    async with running(endpoint) as daemon:
        stranger.connect(endpoint)
        for frame in GARBAGE:
            stranger.send(frame)
        stranger.send_multipart([b"two", b"frames"])
        await until(lambda: daemon.link.garbage_frames == len(GARBAGE) + 1, engine.flush)
        stranger.close(0)
        engine.append(fact(1))
        await until(lambda: len(daemon.events) == 1, engine.flush)
    context.term()


async def test_garbage_orders_do_not_stop_good_ones(endpoint: str, engine: EngineSideLink) -> None:
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(endpoint)
    await until(lambda: bool(router.poll(0)), engine.flush)
    peer, _hello = router.recv_multipart()
    for frame in [*GARBAGE, b'{"type":"snapshot","id":"ok"}']:
        router.send_multipart([peer, frame])
    orders: list[Order] = []
    await until(lambda: bool(orders), lambda: orders.extend(engine.orders()))
    assert orders == [Snapshot("ok")]
    router.close(0)
    context.term()


async def test_an_endpoint_that_cannot_be_bound_is_named() -> None:
    link = EngineLink("ipc:///no/such/folder/link", lambda *_: None, lambda _: None)
    with pytest.raises(LinkError, match="/no/such/folder/link"):
        await link.run()
