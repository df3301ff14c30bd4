"""The waiting room by itself: how often those who wait are asked about, which must not grow with their number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.front_exchange import Reports
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import PASS, Asked, BaseDoorkeeper, Verdict
from radixdeck.policies.events import PolicySwitched, TunableChanged
from radixdeck.policies.primitives import BasePolicy

MANY = 40
SOON_S = 1.0
"""Longer than it takes a crowd to come."""
EVERYBODY = Verdict(kind="hold", why="full", everybody=True)
ALIKE = Verdict(kind="hold", why="full", alike=True)
REPORTS = Reports(lambda fact: None, lambda fact: None, now_ns)


class Gate(BaseDoorkeeper, BasePolicy):
    """Says `says`, but of some sessions something else, and counts how often it is asked about each request."""

    name = "gate"
    orders_sessions = True

    def __init__(self) -> None:
        super().__init__()
        self.says = PASS
        self.of: dict[str, Verdict] = {}
        self.asked: Counter[str] = Counter()

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        self.asked[asked.rid] += 1
        return self.of.get(asked.session, self.says)


class Waiting:
    def __init__(self) -> None:
        self.gate, host = Gate(), DoorHost([])
        host.on = [("gate", self.gate)]
        self.door = Door(host, now_ns)
        self.tasks: dict[str, asyncio.Task[object]] = {}

    async def come(self, rid: str, session: str) -> None:
        asked = Asked(rid=rid, agent="a", session=session)
        self.tasks[rid] = asyncio.create_task(self.door.enter(asked, REPORTS))
        await asyncio.sleep(0)

    async def look(self, *, switched: bool = False) -> Counter[str]:
        """How often each is asked about when something happens."""
        self.gate.asked.clear()
        if switched:
            self.door.follow(TunableChanged(t_ns=now_ns(), policy="other", name="x", value=1.0))
        else:
            self.door._waiting.reconsider()
        await asyncio.sleep(0.01)
        return self.gate.asked

    async def asked(self, requests: int) -> None:
        """Until so many were asked about from now on."""
        self.gate.asked.clear()
        async with asyncio.timeout(20):
            while len(self.gate.asked) < requests:  # noqa: ASYNC110 - the door has no event for a test
                await asyncio.sleep(0.01)


@asynccontextmanager
async def crowd(verdict: Verdict, sessions: int = MANY) -> AsyncIterator[Waiting]:
    """Requests of so many sessions that are held, and may go in the end."""
    made = Waiting()
    made.gate.says = verdict
    for number in range(sessions):
        await made.come(f"r{number}", f"s{number}")
    assert made.door.held == sessions
    yield made
    made.gate.says = PASS
    made.gate.of.clear()
    made.door.follow(PolicySwitched(t_ns=now_ns(), policy="other", enabled=False))
    async with asyncio.timeout(5):
        await asyncio.gather(*made.tasks.values())
    assert made.door.held == 0


async def test_times_that_are_past_do_not_have_everybody_asked_about_again_and_again() -> None:
    soon = Verdict(kind="hold", why="a moment", until_s=now_ns() / 1e9 + SOON_S)
    async with crowd(soon) as w:
        w.gate.says = EVERYBODY
        await w.asked(1)
        await asyncio.sleep(0.3)
        assert w.gate.asked.total() <= 5


async def test_a_time_that_comes_for_many_at_once_has_each_asked_about_a_few_times() -> None:
    soon = Verdict(kind="hold", why="a moment", until_s=now_ns() / 1e9 + SOON_S)
    async with crowd(soon) as w:
        w.gate.says = Verdict(kind="hold", why="full")
        await w.asked(MANY)
        await asyncio.sleep(0.3)
        assert 1 <= min(w.gate.asked.values()) <= max(w.gate.asked.values()) <= 3


async def test_of_those_who_are_held_alike_one_is_asked_about() -> None:
    async with crowd(ALIKE) as w:
        assert await w.look() == {"r0": 1}
        assert len(await w.look(switched=True)) == MANY
        assert await w.look() == {"r0": 1}


async def test_who_may_come_in_is_found_behind_those_who_are_held_alike() -> None:
    async with crowd(ALIKE, 3) as w:
        w.gate.of["other"] = Verdict(kind="hold", why="it")
        await w.come("r9", "other")
        assert set(await w.look()) == {"r0", "r9"}
        w.gate.of["other"] = PASS
        await w.look()
        assert w.tasks["r9"].done()


async def test_one_that_is_held_alike_is_asked_about_by_itself_when_its_time_has_come() -> None:
    async with crowd(ALIKE, 2) as w:
        w.gate.of["late"] = Verdict(kind="hold", why="full", alike=True, until_s=now_ns() / 1e9 + SOON_S)
        await w.come("r9", "late")
        w.gate.of["late"] = PASS
        assert set(await w.look()) == {"r0"}
        async with asyncio.timeout(5):
            await w.tasks["r9"]


async def test_once_one_of_its_session_is_in_a_request_is_not_held_like_the_others() -> None:
    async with crowd(ALIKE, 2) as w:
        await w.come("r8", "twice")
        w.gate.of["twice"] = PASS
        await w.come("r9", "twice")
        assert w.tasks["r9"].done()
        await w.look()
        assert w.tasks["r8"].done()
