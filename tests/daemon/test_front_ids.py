"""Request ids: the caller's own where that harms nobody, each of them once, given back whatever happens."""

from __future__ import annotations

import asyncio

import pytest
from front_harness import stack

from radixdeck.daemon.front_body import RequestIds
from radixdeck.policies.events import RequestArrived, RequestFinished


async def test_the_callers_request_id_is_kept_unless_it_could_abort_others() -> None:
    async with stack() as s:
        await s.chat("hi", rid="task-7")
        assert s.upstream.last["rid"] == "task-7"
        for risky in ("r", "rd-1", "HEALTH_CHECK_1", "", "a b", 7, ["a"]):
            await s.chat("hi", rid=risky)
            assert s.upstream.last["rid"].startswith("rd-")
            assert len(s.upstream.last["rid"]) == 35
        s.upstream.gate = asyncio.Event()
        held = asyncio.create_task(s.chat("hi", rid="task-1"))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        s.upstream.gate.set()
        s.upstream.gate = None
        waiting = asyncio.create_task(s.chat("hi", rid="task-10"))
        await asyncio.gather(held, waiting)


async def test_an_id_that_is_a_prefix_of_one_in_flight_is_replaced() -> None:
    async with stack() as s:
        s.upstream.gate = asyncio.Event()
        held = asyncio.create_task(s.chat("hi", rid="task-10"))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        gate, s.upstream.gate = s.upstream.gate, None
        await s.chat("hi", rid="task-1")
        assert s.upstream.last["rid"].startswith("rd-")
        gate.set()
        assert (await held)[1]["id"] == "task-10"


async def test_an_id_used_again_is_replaced() -> None:
    async with stack() as s:
        for _ in range(3):
            await s.chat("hi", rid="task-1")
        await s.post("/v1/messages", {"messages": [], "rid": "task-1"})
        rids = [fact.rid for fact in s.of(RequestArrived)]
        assert rids[0] == "task-1"
        assert len(set(rids)) == 4
        assert len({fact.rid for fact in await s.until(RequestFinished, 4)}) == 4


def test_callers_ids_are_remembered_within_bounds() -> None:
    ids = RequestIds(remembered=2)
    for rid in ("a", "b", "c"):
        assert ids.take(rid, "") == rid
        ids.release(rid)
    assert ids.take("c", "") != "c"
    assert ids.take("a", "") == "a"


async def test_a_request_that_fails_on_its_way_gives_its_id_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack() as s:

        def broken(*_: object) -> None:
            raise KeyError("unforeseen")

        with monkeypatch.context() as patched:
            patched.setattr("radixdeck.daemon.anchors.AnchorBook.note", broken)
            assert (await s.chat("hi", rid="task-1"))[0] == 500
            assert (await s.chat("hi", rid="task-2", custom_params=7))[0] == 400
        await s.chat("hi", rid="task-10")
        assert s.upstream.last["rid"] == "task-10"
        await s.chat("hi", rid="task-20")
        assert s.upstream.last["rid"] == "task-20"
