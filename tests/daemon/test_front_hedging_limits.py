"""What is never sent to a second engine, what a second engine never gets, and what stays right at the door."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from front_harness import Upstream, stack
from hedge_stage import CHAT, HI, LATE_MS, TUNED, Staged, keyed, staged, until

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.front_hedge import MARK
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Asked, Second
from radixdeck.policies.events import (
    PolicySwitched,
    ReplicaChecked,
    RequestArrived,
    RequestFinished,
    RequestHedged,
    RequestHeld,
)
from radixdeck.policies.hedging import Hedging


async def test_what_is_not_late_is_asked_once() -> None:
    async with staged(tunables={"hedging": {**TUNED, "floor_ms": 60_000.0}}) as two:
        await two.learn()
        for _ in range(5):
            assert (await two.s.post(CHAT, HI))[0] == 200
        assert two.asked() == (5, 0)
        assert not two.s.of(RequestHedged)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answers", [4, 5])
async def test_it_is_learned_what_is_late_from_answers_but_not_from_errors(answers: int, stream: bool) -> None:
    """Of five answers, as TUNED says."""
    asked = {**HI, "stream": stream}
    async with staged() as two:
        two.first.status = 500
        for _ in range(6):
            async with two.s.client.post(two.s.url + CHAT, json=asked) as answer:
                assert answer.status == 500
        two.first.status = 200
        two.first.requests.clear()
        for slow in (*[False] * answers, True):
            two.first.begins = held = asyncio.Event()
            asking = asyncio.create_task(two.s.client.post(two.s.url + CHAT, json=asked))
            if slow and answers == 5:
                await until(lambda: two.asked()[1] == 1)
            await asyncio.sleep(4 * LATE_MS / 1e3 if slow else 0)
            held.set()
            async with await asking as answer:
                await answer.read()
        assert two.asked() == (answers + 1, answers == 5)


async def test_the_second_engine_gets_the_same_request_but_no_secrets() -> None:
    async with staged(other=keyed("theirs")) as two:
        secret = {"Authorization": "Bearer callers", "x-api-key": "callers", "Cookie": "c=1", "x-agent-id": "coder"}
        for number in range(7):
            two.first.begins = asyncio.Event() if number == 6 else None
            await two.s.post(CHAT, {**HI, "temperature": 0.5, "rid": f"mine-{number}"}, secret)
        assert two.first.last == two.second.last
        assert two.second.last["rid"] == "mine-6"
        assert two.second.last["custom_params"]["radixdeck"]["agent"] == "coder"
        assert two.second.last_headers["Authorization"] == "Bearer theirs"
        assert {"x-api-key", "Cookie"}.isdisjoint(two.second.last_headers)
        assert two.second.last_headers[MARK] == "1"
        assert MARK not in two.first.last_headers
        assert two.first.last_headers["Authorization"] == "Bearer callers"


async def test_the_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    late, hedge = list[Asked](), Hedging.hedge

    def told(policy: Hedging, asked: Asked, waited_s: float) -> Second:
        late.append(asked)
        return hedge(policy, asked, waited_s)

    monkeypatch.setattr(Hedging, "hedge", told)
    async with staged(tunables={"hedging": {**TUNED, "budget": 0.2, "burst": 1.0}}) as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(4)]
        await until(lambda: len(late) == 4 and two.asked()[1] == 1)
        two.first.begins.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 4
        facts = await two.s.until(RequestHedged, 4)
        assert all(fact.answer_s > fact.waited_s for fact in facts)
        assert sorted(fact.what for fact in facts) == ["kept", "kept", "kept", "won"]
        assert {fact.why.rpartition("; ")[2] for fact in facts if fact.what == "kept"} == {
            "the budget of 20.0% is used up"
        }
        assert two.asked() == (4, 1)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"n": 2}),
        ("/v1/completions", {"prompt": ["a", "b"]}),
        ("/generate", {"text": "hi", "session_params": {"id": "s"}}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
async def test_batches_and_what_is_stateful_are_never_sent_twice(path: str, more: dict[str, Any]) -> None:
    async with staged() as two:
        for _ in range(6):
            await two.s.post(path, {**HI, **more})
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(path, {**HI, **more}))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert all(asked in ("/v1/models",) for asked, _, _ in two.second.requests)


async def test_what_was_sent_twice_already_is_not_sent_a_third_time() -> None:
    async with staged() as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(CHAT, HI, {MARK: "1"}))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert two.asked() == (1, 0)


async def test_it_can_be_switched_off_live() -> None:
    async with staged() as two:
        await two.learn()
        two.door.follow(PolicySwitched(t_ns=now_ns(), policy="hedging", enabled=False))
        two.first.begins = asyncio.Event()
        asking = asyncio.create_task(two.s.post(CHAT, HI))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        two.first.begins.set()
        assert (await asking)[0] == 200
        assert two.asked() == (1, 0)


async def test_with_one_engine_nothing_is_sent_twice_and_that_is_said() -> None:
    async with stack(door=Door(DoorHost(["hedging"], {"hedging": TUNED}), now_ns)) as s:
        await s.replicas.look(s.client)
        (fact,) = s.of(ReplicaChecked)
        assert (fact.url, fact.ok, fact.by) == ("", False, "hedging")
        assert "only one engine is known" in fact.detail
        assert s.replicas.words() == {"": f"not used: {fact.detail}"}
        for _ in range(6):
            await s.chat("hi")
        s.upstream.begins = asyncio.Event()
        asking = asyncio.create_task(s.chat("hi"))
        await asyncio.sleep(4 * LATE_MS / 1e3)
        s.upstream.begins.set()
        assert (await asking)[0] == 200
        assert not s.of(RequestHedged)


async def test_places_at_the_door_are_given_back_once() -> None:
    """Fairness has two places: as many requests as there are places are in flight, whoever answers them."""
    async with staged("fairness", tunables={"fairness": {"places": 2}}) as two:
        await two.learn()
        two.first.begins = asyncio.Event()
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(6)]
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 6
        assert two.s.of(RequestHeld)
        assert (two.s.front.in_flight, two.door.held) == (0, 0)
        assert len(two.s.of(RequestFinished)) == len(two.s.of(RequestArrived)) == 6
        asking = [asyncio.create_task(two.s.post(CHAT, HI)) for _ in range(3)]
        await until(lambda: two.s.front.in_flight == 2 and two.door.held == 1)
        two.first.begins.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 3


async def test_another_daemon_is_a_second_engine_too() -> None:
    """It knows the same agent, and tells its own engine when the request is given up."""
    there = Upstream()
    async with stack(door=Door(DoorHost([]), now_ns)) as other:
        there.url = other.url
        door = Door(DoorHost(["hedging"], {"hedging": TUNED}), now_ns)
        async with stack(there, door=door) as s:
            two = Staged(s, other.upstream, door)
            await two.learn()
            two.first.begins, two.second.begins = asyncio.Event(), asyncio.Event()
            asking = asyncio.create_task(s.post(CHAT, HI, {"x-agent-id": "unknown"}))
            await until(lambda: two.asked() == (1, 1))
            (here,), (arrived,) = s.of(RequestArrived), other.of(RequestArrived)
            assert (arrived.agent, arrived.tenant) == (here.agent, here.tenant)
            two.first.begins.set()
            assert (await asking)[0] == 200
            await asyncio.wait_for(two.second.gone.wait(), 10)
            await asyncio.wait_for(two.second.abort_seen.wait(), 10)
            assert arrived.rid in two.second.aborted
