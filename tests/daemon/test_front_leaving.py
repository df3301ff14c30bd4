"""What a caller said, or was given, before it went away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from front_harness import Stack, stack

from radixdeck.policies.events import RequestArrived, RequestFinished, SessionEnded


@asynccontextmanager
async def left(headers: Mapping[str, str] | None = None, **more: Any) -> AsyncIterator[Stack]:
    """A front whose only caller has gone while the engine was at work."""
    async with stack() as s:
        s.upstream.gate = asyncio.Event()
        asking = asyncio.create_task(s.chat("hi", headers=headers, **more))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        asking.cancel()
        await s.until(RequestFinished)
        yield s


async def test_the_session_that_it_said_was_over_is() -> None:
    async with left({"x-session-id": "s", "x-session-end": "true"}) as s:
        assert [fact.session for fact in s.of(SessionEnded)] == ["s"]


@pytest.mark.parametrize(("asked", "ids"), [({"n": 1}, 1), ({"n": 2}, 0)])
async def test_a_batch_has_no_id_of_its_own_to_abort_it_by(asked: dict[str, int], ids: int) -> None:
    async with left(**asked) as s:
        await s.front.stop()  # by then the engine has been told all that it is to be told
        assert s.upstream.aborted == [fact.rid for fact in s.of(RequestArrived)][:ids]
