"""Callers that stop in the middle: they are hung up on, and give their place back; those that are only slow are not."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from front_harness import Stack, stack
from test_front_broken_off import asked

from radixdeck.daemon import front_patience
from radixdeck.policies.events import RequestFinished

STEP_S = 0.02


def caller(s: Stack, data: bytes) -> socket.socket:
    """A connection with little room, on which this has been sent."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    host, port = s.url.removeprefix("http://").split(":")
    made.connect((host, int(port)))
    made.sendall(data)
    made.setblocking(False)
    return made


async def through(s: Stack) -> None:
    async with asyncio.timeout(10):
        while s.front.in_flight:  # noqa: ASYNC110 - the front has no event for a test
            await asyncio.sleep(STEP_S)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_patience, "LOOK_S", 0.3)


async def test_a_caller_that_takes_nothing_of_its_answer_has_gone_away() -> None:
    async with stack() as s:
        s.upstream.words = ["x" * 65_536] * 400
        with caller(s, asked()):
            (finished,) = await s.until(RequestFinished)
            assert (finished.status, finished.finish) == (499, "abort")
            await asyncio.wait_for(s.upstream.abort_seen.wait(), 10)
            assert s.upstream.aborted == [finished.rid]
            assert s.front.in_flight == 0


async def test_so_has_one_on_a_route_that_is_not_read() -> None:
    async with stack() as s:
        s.upstream.words = ["x" * 65_536] * 400
        with caller(s, asked("/api/chat")):
            await asyncio.wait_for(s.upstream.reached.wait(), 10)
            assert s.front.in_flight == 1
            await through(s)


async def test_so_has_one_that_stops_in_the_middle_of_what_it_asks() -> None:
    async with stack() as s:
        with caller(s, asked("/api/chat")[:-5]):
            async with asyncio.timeout(10):
                while not s.front.in_flight:  # noqa: ASYNC110 - the front has no event for a test
                    await asyncio.sleep(STEP_S)
            await through(s)
        assert (await s.chat("hi"))[0] == 200


async def test_so_has_one_on_a_route_that_is_read() -> None:
    async with stack() as s:
        with caller(s, asked()[:-5]) as stopped, suppress(ConnectionResetError):
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(stopped, 1), 10) == b""
        assert (await s.chat("hi"))[0] == 200


async def test_one_that_sends_slowly_is_answered() -> None:
    async with stack() as s:
        loop, whole, begun_s = asyncio.get_running_loop(), asked(), asyncio.get_running_loop().time()
        with caller(s, whole[:-8]) as slow:
            for place in range(-8, 0):
                await asyncio.sleep(front_patience.LOOK_S / 2)
                await loop.sock_sendall(slow, whole[place:][:1])
            answer = await asyncio.wait_for(loop.sock_recv(slow, 1 << 16), 10)
        assert loop.time() - begun_s > 2 * front_patience.LOOK_S
        assert answer.startswith(b"HTTP/1.1 200")


async def test_one_that_is_slow_gets_all_of_it() -> None:
    async with stack() as s:
        s.upstream.words = ["x" * 65_536] * 100
        loop, got, begun_s = asyncio.get_running_loop(), b"", asyncio.get_running_loop().time()
        with caller(s, asked()) as slow:
            async with asyncio.timeout(20):
                while not got.endswith(b"0\r\n\r\n"):
                    more = await loop.sock_recv(slow, 1 << 16)
                    assert more, f"hung up on after {len(got)} bytes"
                    got += more
                    await asyncio.sleep(STEP_S)
        assert loop.time() - begun_s > 4 * front_patience.LOOK_S
        assert got.count(b"x") > 100 * 65_536 - 1
        assert (await s.until(RequestFinished))[0].status == 200
