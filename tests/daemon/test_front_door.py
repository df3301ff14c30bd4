"""The door before a real HTTP upstream: what a policy says about a request is what becomes of it, and is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from front_harness import Stack, stack

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import PASS, Asked, BaseDoorkeeper, DoorFact, Entered, Left, Matched, Verdict
from radixdeck.policies.events import (
    PolicyFailed,
    PolicySwitched,
    PrefixMatched,
    RequestAdmitted,
    RequestArrived,
    RequestFinished,
    RequestHeld,
    RequestRefused,
)
from radixdeck.policies.parameters import Tunable
from radixdeck.policies.primitives import BasePolicy

HOLD = Verdict(kind="hold", why="not now")


class Gate(BaseDoorkeeper, BasePolicy):
    """Says what it is told to, by agent, and remembers what it noticed."""

    name = "gate"
    declares = (Tunable("longest_hold_s", 5.0, 0.01, 10.0, "s", "Longest hold"),)

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, Verdict] = {}
        self.facts: list[DoorFact] = []
        self.places = 1_000

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        return HOLD if self.inside >= self.places else self.says.get(asked.agent, PASS)

    def notice(self, fact: DoorFact) -> None:
        self.facts.append(fact)

    @property
    def inside(self) -> int:
        entered = sum(isinstance(fact, Entered) for fact in self.facts)
        return entered - sum(isinstance(fact, Left) and fact.entered for fact in self.facts)

    def steps(self) -> list[str]:
        return [type(fact).__name__ for fact in self.facts]


class Rig:
    def __init__(self, made: Stack, gate: Gate, door: Door, failures: list[PolicyFailed]) -> None:
        self.stack, self.gate, self.door, self.failures = made, gate, door, failures

    async def ask(self, agent: str = "a", **more: object) -> tuple[int, dict[str, object]]:
        """`agent`: by the name that events have, in which another tenant is told before it."""
        tenant, _, name = agent.rpartition("/")
        headers = {"x-agent-id": name} | ({"x-tenant-id": tenant} if tenant else {})
        return await self.stack.chat("hi", headers=headers, **more)

    async def held(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.door.held != count:  # noqa: ASYNC110 - the door has no event for a test
                await asyncio.sleep(0.005)

    async def waiting(self, agent: str, place: int, **more: object) -> asyncio.Task[tuple[int, dict[str, object]]]:
        """A request that is the last of so many who wait now."""
        asking = asyncio.create_task(self.ask(agent, **more))
        await self.held(place)
        return asking


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    failures: list[PolicyFailed] = []
    host, gate = DoorHost([], failed=failures.append), Gate()
    host.on = [("gate", gate)]
    door = Door(host, now_ns)
    async with stack(door=door) as made:
        yield Rig(made, gate, door, failures)


async def test_passing_changes_nothing_that_the_engine_gets() -> None:
    async with rig() as r, stack() as bare:
        await r.ask(max_tokens=9, rid="r-1", user="s")
        await bare.chat("hi", headers={"x-agent-id": "a"}, max_tokens=9, rid="r-1", user="s")
        assert r.stack.upstream.last == bare.upstream.last
        assert [type(fact) for fact in r.stack.reports] == [type(fact) for fact in bare.reports]
        assert r.gate.steps() == ["Came", "Entered", "Left"]
        assert (r.gate.facts[-1].prompt_tokens, r.gate.facts[-1].output_tokens) == (11, 3)  # type: ignore[attr-defined]


async def test_a_refusal_names_its_policy_and_never_reaches_the_engine() -> None:
    async with rig() as r:
        r.gate.says["a"] = Verdict(kind="refuse", status=429, why="too many", retry_in_s=3.2)
        async with r.stack.client.post(
            r.stack.url + "/v1/chat/completions", json={"messages": []}, headers={"x-agent-id": "a"}
        ) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "4")
            assert "too many" in (await answer.json())["error"]["message"]
        assert not r.stack.upstream.requests
        (told,) = r.stack.of(RequestRefused)
        assert (told.by, told.reason, told.agent, bool(told.rid)) == ("gate", "too many", "a", True)
        assert r.gate.steps() == ["Came", "Left"]


async def test_one_that_waits_goes_on_when_a_place_is_free() -> None:
    async with rig() as r:
        r.gate.places, r.stack.upstream.gate = 1, asyncio.Event()
        first = asyncio.create_task(r.ask("first"))
        await r.stack.upstream.reached.wait()
        second = asyncio.create_task(r.ask("second"))
        await r.held(1)
        assert len(r.stack.of(RequestArrived)) == 1
        r.stack.upstream.gate.set()
        assert [(await task)[0] for task in (first, second)] == [200, 200]
        (held,), (let_in,) = r.stack.of(RequestHeld), r.stack.of(RequestAdmitted)
        assert (held.agent, held.by, held.why) == ("second", "gate", "not now")
        assert (let_in.rid, let_in.by, let_in.held_s > 0) == (held.rid, "gate", True)
        assert (r.gate.inside, r.door.held) == (0, 0)


async def test_the_lowest_order_goes_first_and_one_place_lets_one_in() -> None:
    async with rig() as r:
        r.gate.places = 0
        tasks = []
        for agent, order in (("late", 2.0), ("soon", 1.0), ("last", 3.0)):
            r.gate.says[agent] = Verdict(order=(order,))
            tasks.append(asyncio.create_task(r.ask(agent)))
            await r.held(len(tasks))
        r.gate.places = 1
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=False))
        await asyncio.gather(*tasks)
        assert [fact.asked.agent for fact in r.gate.facts if isinstance(fact, Entered)] == ["soon", "late", "last"]


async def test_those_who_wait_are_not_asked_about_one_by_one() -> None:
    """One look per agent that waits for each request that goes in, however many wait."""
    async with rig() as r:
        r.gate.places = 0
        tasks = [asyncio.create_task(r.ask("flood")) for _ in range(30)]
        await r.held(30)
        asked, admit = 0, r.gate.admit

        def counted(asked_: Asked, now_s: float) -> Verdict:
            nonlocal asked
            asked += 1
            verdict = admit(asked_, now_s)
            return Verdict(kind="hold", why="full", everybody=True) if verdict.kind == "hold" else verdict

        r.gate.admit = counted  # type: ignore[method-assign]
        r.gate.places = 1
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=False))
        assert {(await task)[0] for task in tasks} == {200}
        assert asked <= 2 * 30


async def test_a_caller_that_goes_away_leaves_the_queue_and_frees_its_place() -> None:
    async with rig() as r:
        r.gate.says["a"] = HOLD
        waiting = asyncio.create_task(r.ask("a"))
        await r.held(1)
        waiting.cancel()
        await r.held(0)
        (gone,) = await r.stack.until(RequestFinished)
        assert (gone.finish, gone.status) == ("abort", 499)
        assert not r.stack.upstream.requests
        assert r.gate.steps() == ["Came", "Left"]


async def test_a_caller_that_goes_away_inside_frees_its_place_for_the_next() -> None:
    async with rig() as r:
        r.gate.places, r.stack.upstream.gate = 1, asyncio.Event()
        first = asyncio.create_task(r.ask("first"))
        await r.stack.upstream.reached.wait()
        second = asyncio.create_task(r.ask("second"))
        await r.held(1)
        first.cancel()
        await r.held(0)
        r.stack.upstream.gate.set()
        assert (await second)[0] == 200


async def test_nobody_waits_longer_than_the_longest_hold() -> None:
    async with rig() as r:
        r.gate.tunables.set("longest_hold_s", 0.05)
        r.gate.says["a"] = HOLD
        status, answer = await r.ask("a")
        assert status == 503
        assert "held for 0 s: not now" in str(answer)
        assert r.stack.of(RequestRefused)[0].by == "gate"
        assert r.door.held == 0


async def test_a_hold_with_a_time_is_asked_about_again_then() -> None:
    async with rig() as r:
        until_s = now_ns() / 1e9 + 0.05
        r.gate.says["a"] = Verdict(kind="hold", why="a moment", until_s=until_s)
        asked = asyncio.create_task(r.ask("a"))
        await r.held(1)
        r.gate.says["a"] = PASS
        assert (await asked)[0] == 200
        assert now_ns() / 1e9 >= until_s


async def test_a_moment_that_has_passed_does_not_spin() -> None:
    async with rig() as r:
        r.gate.tunables.set("longest_hold_s", 0.1)
        r.gate.says["a"] = Verdict(kind="hold", why="then", until_s=0.0)
        assert (await r.ask("a"))[0] == 503


async def test_a_policy_that_raises_is_off_and_lets_go_of_who_waits() -> None:
    async with rig() as r:
        r.gate.says["a"] = HOLD
        waiting = asyncio.create_task(r.ask("a"))
        await r.held(1)
        r.gate.says["b"] = None  # type: ignore[assignment] # so that the host meets what is no verdict
        r.gate.admit = lambda asked, now_s: 1 / 0  # type: ignore[assignment, return-value]
        assert (await r.ask("b"))[0] == 200
        assert (await waiting)[0] == 200
        assert [(fact.policy, fact.call) for fact in r.failures] == [("gate", "admit")]


async def test_one_that_fails_closed_lets_nobody_in_until_it_is_switched() -> None:
    async with rig() as r:
        r.gate.fails_closed = True  # type: ignore[misc]
        r.gate.admit = lambda asked, now_s: 1 / 0  # type: ignore[assignment, return-value]
        status, answer = await r.ask()
        assert (status, "gate failed" in str(answer)) == (503, True)
        r.door.follow(PolicySwitched(t_ns=1, policy="gate", enabled=False))
        assert (await r.ask())[0] == 200


@pytest.mark.parametrize(
    ("asked", "sent"), [({"max_tokens": 90}, 50), ({"max_tokens": 9}, 9), ({}, 50), ({"max_tokens": "90"}, 50)]
)
async def test_output_is_cut_and_a_real_cut_is_told(asked: dict[str, object], sent: int) -> None:
    async with rig() as r:
        r.gate.says["a"] = Verdict(limit_tokens=50)
        await r.ask("a", **asked)
        assert r.stack.upstream.last["max_tokens"] == sent
        cuts = [fact.why for fact in r.stack.of(RequestAdmitted)]
        assert cuts == (["asked for 90 tokens of output, gets at most 50"] if 90 in map(int, asked.values()) else [])  # type: ignore[call-overload]


async def test_a_bad_request_that_was_let_in_gives_its_place_back() -> None:
    async with rig() as r:
        assert (await r.ask(cache_salt=7))[0] == 400
        assert r.gate.inside == 0


async def test_the_engines_word_on_the_cache_is_passed_on_even_late() -> None:
    async with rig() as r:
        await r.ask(rid="r-7")
        facts = {"rid": "r-7", "agent": "a", "session": "", "prompt_tokens": 11, "cached_tokens": 8, "base_tokens": 9}
        r.door.follow(PrefixMatched(t_ns=5, **facts))  # type: ignore[arg-type]
        r.door.follow(PrefixMatched(t_ns=5, **{**facts, "rid": "r-8"}))  # type: ignore[arg-type]
        matched = [fact for fact in r.gate.facts if isinstance(fact, Matched)]
        assert [(fact.asked.rid, fact.cached_tokens, fact.base_tokens) for fact in matched] == [("r-7", 8, 9)]


async def test_a_full_door_turns_away_the_newest_of_who_holds_most_places() -> None:
    async with rig() as r:
        r.door._waiting._max_held = 3
        r.gate.says = {"greedy": HOLD, "modest": HOLD}
        tasks = [await r.waiting("greedy", place) for place in (1, 2, 3)]
        modest = asyncio.create_task(r.ask("modest"))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[2]}
        assert tasks[2].result()[0] == 503
        assert r.stack.of(RequestRefused)[0].agent == "greedy"
        r.gate.says.clear()
        r.door.follow(PolicySwitched(t_ns=1, policy="other", enabled=True))
        assert (await modest)[0] == 200
        await asyncio.gather(*tasks)


async def test_a_front_that_stops_lets_go_of_who_waits() -> None:
    async with rig() as r:
        r.gate.says["a"] = HOLD
        waiting = asyncio.create_task(r.ask("a"))
        await r.held(1)
        await r.stack.front.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting
        assert r.door.held == 0
