"""The daemon's end of the link against a bare socket that behaves as an engine may."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from radixdeck.daemon.engine.protocol import EventsSent, Hello, Snapshot
from radixdeck.daemon.link import EngineLink, LinkError
from radixdeck.policies.events import CacheFlushed, EngineEvent


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
