"""Admission before a real HTTP upstream: sessions wait whole, in turn, within the bound, and are told about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from front_harness import Stack, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import (
    EngineStarted,
    PolicyFailed,
    PolicySwitched,
    PrefixMatched,
    RequestAdmitted,
    RequestHeld,
    SessionEnded,
    TunableChanged,
)

SET = {"foresight": 0.0, "fill": 1.0, "busy": 0.0, "pause_s": 3600.0}
ROOM = 30
"""Tokens; the upstream says that each request had 11 and wrote 3, so two sessions fit."""


@asynccontextmanager
async def crowded(**tunables: float) -> AsyncIterator[tuple[Stack, Door]]:
    failures: list[PolicyFailed] = []
    door = Door(DoorHost([], {"admission": SET | tunables}, failed=failures.append), now_ns)
    door.follow(started(ROOM))
    door.follow(PolicySwitched(t_ns=now_ns(), policy="admission", enabled=True))
    async with stack(door=door) as s:
        yield s, door
    assert failures == []
    assert door.held == 0


def started(capacity: int) -> EngineStarted:
    return EngineStarted(t_ns=now_ns(), pid=1, model="m", capacity_tokens=capacity, page_size=1, policy="lru")


async def ask(s: Stack, session: str) -> int:
    return (await s.chat("hi", headers={"x-agent-id": "a", "x-session-id": session}))[0]


async def test_a_third_session_waits_until_one_is_over() -> None:
    async with crowded() as (s, door):
        assert [await ask(s, name) for name in ("one", "two", "one")] == [200, 200, 200]
        third = asyncio.create_task(ask(s, "three"))
        await s.until(RequestHeld, 1)
        assert await ask(s, "two") == 200  # who is in is not held
        assert not third.done()
        door.follow(SessionEnded(t_ns=now_ns(), session="one"))
        assert await third == 200
        (held,), (let_in,) = s.of(RequestHeld), s.of(RequestAdmitted)
        assert (held.by, held.session, let_in.rid) == ("admission", "three", held.rid)
        assert "2 sessions that are in need 28 of 30 tokens" in held.why


async def test_the_wait_is_bounded() -> None:
    async with crowded(longest_wait_s=0.2) as (s, _):
        assert [await ask(s, name) for name in ("one", "two", "three")] == [200, 200, 200]
        (let_in,) = s.of(RequestAdmitted)
        assert 0.15 < let_in.held_s < 5.0


async def test_a_silent_session_makes_room_without_anybody_saying_anything() -> None:
    async with crowded(pause_s=0.2) as (s, _):
        assert [await ask(s, name) for name in ("one", "two", "three")] == [200, 200, 200]
        assert len(s.of(RequestHeld)) == 1


async def test_a_caller_who_goes_away_does_not_block_the_line() -> None:
    async with crowded() as (s, door):
        for name in ("one", "two"):
            await ask(s, name)
        gone = asyncio.create_task(ask(s, "gone"))
        await s.until(RequestHeld, 1)
        last = asyncio.create_task(ask(s, "last"))
        await s.until(RequestHeld, 2)
        gone.cancel()
        async with asyncio.timeout(5):
            while door.held != 1:  # noqa: ASYNC110 - the door has no event for a test
                await asyncio.sleep(0.005)
        door.follow(SessionEnded(t_ns=now_ns(), session="one"))
        assert await last == 200


async def test_room_may_be_made_live_and_switching_off_lets_everybody_in() -> None:
    async with crowded() as (s, door):
        for name in ("one", "two"):
            await ask(s, name)
        waiting = [asyncio.create_task(ask(s, name)) for name in ("three", "four")]
        await s.until(RequestHeld, 2)
        door.follow(TunableChanged(t_ns=now_ns(), policy="admission", name="kv_tokens", value=45.0))
        await s.until(RequestAdmitted, 1)
        assert door.held == 1
        door.follow(PolicySwitched(t_ns=now_ns(), policy="admission", enabled=False))
        assert [await task for task in waiting] == [200, 200]


async def test_the_engines_word_on_anchors_reaches_it() -> None:
    async with crowded() as (s, door):
        s.upstream.gate = asyncio.Event()
        first = asyncio.create_task(ask(s, "one"))
        await s.upstream.reached.wait()
        (rid,) = door._inside  # pyright: ignore[reportPrivateUsage] - the id the front made up
        told = {"rid": rid, "agent": "a", "session": "one", "prompt_tokens": 11, "cached_tokens": 0}
        door.follow(PrefixMatched(t_ns=now_ns(), anchor_tokens=9, **told))
        s.upstream.gate.set()
        await first
        assert [await ask(s, f"s{n}") for n in range(3)] == [200] * 3  # 9 once, and 5 each
        assert s.of(RequestHeld) == []
        door.follow(started(20))  # a smaller engine
        waiting = asyncio.create_task(ask(s, "late"))
        await s.until(RequestHeld, 1)
        door.follow(started(1_000))
        assert await waiting == 200
