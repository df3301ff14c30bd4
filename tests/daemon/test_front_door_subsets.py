"""Every subset of the policies at the door, switched on and off under load: everybody gets an answer, once, and where
none has anything to do nothing changes."""

from __future__ import annotations

import asyncio
from itertools import combinations, count

from front_harness import Stack, Upstream, serving, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.policies import registry
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import Doorkeeper
from radixdeck.policies.events import (
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    RequestArrived,
    RequestFinished,
    RequestHedged,
    RequestHeld,
    TunableChanged,
)

AT_THE_DOOR = tuple(name for name in sorted(registry.BUILT_IN) if isinstance(registry.create(name), Doorkeeper))
SUBSETS = [set(chosen) for size in range(len(AT_THE_DOOR) + 1) for chosen in combinations(AT_THE_DOOR, size)]
WORKERS, REQUESTS = 16, 12
PATIENCE = 20
"""So many times all subsets are gone through at most, until each policy had something to do."""


def switch(door: Door, wanted: set[str]) -> None:
    for name in AT_THE_DOOR:
        door.follow(PolicySwitched(t_ns=now_ns(), policy=name, enabled=name in wanted))


async def engine(s: Stack, door: Door) -> None:
    """What the engine says of each request: a little later it has begun it, computed it, and lost it again."""
    told = 0
    while True:
        for fact in s.of(RequestArrived)[told:]:
            who = {"rid": fact.rid, "agent": fact.agent, "session": fact.session}
            matched = PrefixMatched(t_ns=now_ns(), prompt_tokens=500, cached_tokens=0, anchor_tokens=400, **who)
            for event in (
                matched,
                PrefixInserted(t_ns=now_ns(), rid=fact.rid, phase="prompt", total_tokens=500, new_tokens=500),
                NodeEvicted(t_ns=now_ns(), node=told, tokens=400, start=0, agents=(fact.agent,)),
            ):
                door.follow(event)
            told += 1
        await asyncio.sleep(0.005)


async def stutter(s: Stack) -> None:
    """Now and then the engine does not begin anything for a moment."""
    while True:
        s.upstream.begins = asyncio.Event()
        await asyncio.sleep(0.005)
        s.upstream.begins.set()
        await asyncio.sleep(0.01)


async def worker(s: Stack, number: int, over: asyncio.Event) -> list[int]:
    """Asks again and again until it is over."""
    headers, statuses = {"x-agent-id": f"agent{number % 3}"}, list[int]()
    while len(statuses) < REQUESTS or not over.is_set():
        statuses.append((await s.chat("hi", headers=headers, rid=f"w{number}-{len(statuses)}"))[0])
    return statuses


def _saw_all(s: Stack) -> bool:
    """Whether each policy had something to do, which on a busy machine takes a while. Which of two engines is faster
    there is left open."""
    held, hedged = {fact.by for fact in s.of(RequestHeld)}, {fact.what for fact in s.of(RequestHedged)}
    return held >= {"batch_shaping", "critical_path", "fairness"} and not hedged.isdisjoint({"lost", "won"})


async def test_switching_under_load_loses_nobody() -> None:
    assert len(SUBSETS) >= 4
    failures: list[PolicyFailed] = []
    few = {"fairness": {"places": 2}, "critical_path": {"ahead": 2}, "batch_shaping": {"ahead": 2, "least_tokens": 1}}
    few["hedging"] = {"floor_ms": 0, "quantile": 0.5, "budget": 1, "least_samples": 5}
    door = Door(DoorHost([], few, failed=failures.append), now_ns, priorities=1)
    door.obey("safety", "[everybody]\nmax_output_tokens = 50\nrequests_per_minute = 100000")
    async with serving(Upstream()) as second, stack(second, door=door) as s:
        telling = asyncio.create_task(engine(s, door))
        stuttering = asyncio.create_task(stutter(s))
        over = asyncio.Event()
        workers = [asyncio.create_task(worker(s, number, over)) for number in range(WORKERS)]
        for turns in count():
            if turns > len(SUBSETS) and (_saw_all(s) or turns > PATIENCE * len(SUBSETS)):
                over.set()
            if all(task.done() for task in workers):
                break
            switch(door, SUBSETS[turns % len(SUBSETS)])
            await asyncio.sleep(0.01)
        telling.cancel()
        stuttering.cancel()
        asked = [status for task in workers for status in task.result()]
        assert _saw_all(s)
        assert set(asked) == {200}
        assert len(s.of(RequestArrived)) == len(s.of(RequestFinished)) == len(asked) >= WORKERS * REQUESTS
        assert (door.held, failures) == (0, [])


async def test_places_bound_what_is_in_flight_and_a_tunable_moves_them_live() -> None:
    door = Door(DoorHost(["fairness"], {"fairness": {"places": 2}}), now_ns)
    async with stack(door=door) as s:
        s.upstream.gate = asyncio.Event()
        workers = [asyncio.create_task(s.chat("hi", headers={"x-agent-id": f"a{n}"})) for n in range(6)]
        await s.until(RequestHeld, 4)
        assert (s.front.in_flight, door.held) == (2, 4)
        door.follow(TunableChanged(t_ns=now_ns(), policy="fairness", name="places", value=5.0))
        await s.until(RequestArrived, 5)
        assert (s.front.in_flight, door.held) == (5, 1)
        s.upstream.gate.set()
        assert {(await task)[0] for task in workers} == {200}


async def test_a_greedy_agent_does_not_starve_another() -> None:
    """Forty requests are there before the other agent asks; the other is answered after a few of them."""
    door = Door(DoorHost(["fairness"], {"fairness": {"places": 2}}), now_ns)
    async with stack(door=door) as s:
        s.upstream.gate = asyncio.Event()
        flood = [asyncio.create_task(s.chat("hi", headers={"x-agent-id": "greedy"})) for _ in range(40)]
        await s.until(RequestHeld, 38)
        modest = asyncio.create_task(s.chat("hi", headers={"x-agent-id": "modest"}))
        await s.until(RequestHeld, 39)
        s.upstream.gate.set()
        await asyncio.gather(modest, *flood)
        order = [fact.agent for fact in s.of(RequestFinished)]
        assert order.index("modest") <= 6


async def test_where_none_has_anything_to_do_nothing_changes() -> None:
    async with stack(door=Door(DoorHost(list(AT_THE_DOOR)), now_ns)) as guarded, stack() as bare:
        for s in (guarded, bare):
            for path, body in (
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "user": "s", "rid": "r1"}),
                ("/v1/completions", {"prompt": "hi", "user": "s", "rid": "r2"}),
                ("/generate", {"text": "hi", "rid": "r3", "session_id": "s"}),
                ("/v1/chat/completions", {"messages": 7}),
                ("/v1/models", None),
            ):
                await s.post(path, body, {"x-agent-id": "a", "x-session-id": "s"})
        asked = [
            [(path, body) for path, _, body in s.upstream.requests if "rid" in (body or {})] for s in (guarded, bare)
        ]
        assert [body for _, body in asked[0]][:3] == [body for _, body in asked[1]][:3]
        assert len(asked[0]) == len(asked[1]) >= 3
        told = [[type(fact) for fact in s.reports] for s in (guarded, bare)]
        assert told[0] == told[1]
