"""Those who are held at the door: asked about again whenever something changed, for a bounded time, in bounds."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable

from radixdeck.policies.door.host import DoorHost, Ruling
from radixdeck.policies.doorkeeping import Asked, Verdict
from radixdeck.policies.events import RequestAdmitted, RequestHeld

from .front_exchange import Reports

MAX_HELD = 2_048
"""Requests that may wait together. Beyond it the tenant that has the most of them loses the newest one of the agent
that has the most of its."""
MAX_CHOICE = 256
"""Of so many that may come in, the longest waiting, one is chosen."""
LOOK_AGAIN_S = 0.02
"""The soonest that a held request is asked about again, so that a moment that has passed cannot spin."""
RETRY_S = 5.0


class _Held:
    """A request that waits: `ruling`, the latest that holds it; `at_s`, when it is asked about again at the latest;
    `alike`: until then it is held while another is that its policy holds alike; `decided`, what is done with it at
    last."""

    def __init__(self, asked: Asked, ruling: Ruling, since_s: float, until_s: float) -> None:
        self.asked, self.ruling, self.since_s, self.until_s = asked, ruling, since_s, until_s
        self.decided: asyncio.Future[Ruling] = asyncio.get_running_loop().create_future()
        self.at_s = math.nan
        self.alike = ruling.verdict.alike
        self.alarm: asyncio.TimerHandle | None = None


class WaitingRoom:
    """`let_in`: called for each request the moment it may go on, before anybody else is asked about."""

    def __init__(
        self, host: DoorHost, now_s: Callable[[], float], let_in: Callable[[Asked], None], max_held: int = MAX_HELD
    ) -> None:
        self._host, self._now_s, self._let_in = host, now_s, let_in
        self._max_held = max_held
        self._held: dict[str, _Held] = {}
        self._soon = False

    def __len__(self) -> int:
        return len(self._held)

    async def wait(self, asked: Asked, ruling: Ruling, to: Reports) -> Ruling:
        """Wait until the request is let in or refused: the ruling that did it. Being cancelled ends the wait."""
        since_s = self._now_s()
        held = _Held(asked, ruling, since_s, since_s + self._host.longest_hold_s(ruling.by))
        self._held[asked.rid] = held
        who = {"rid": asked.rid, "agent": asked.agent, "session": asked.session}
        to.emit(RequestHeld(t_ns=to.now_ns(), by=ruling.by, why=ruling.verdict.why, tenant=asked.tenant, **who))
        self._turn_one_away()
        self._set_alarm(held)
        try:
            decided = await held.decided
        finally:
            del self._held[asked.rid]
            if held.alarm is not None:
                held.alarm.cancel()
        if decided.verdict.kind != "refuse":
            last, held_s = held.ruling, self._now_s() - since_s
            to.emit(RequestAdmitted(t_ns=to.now_ns(), by=last.by, why=last.verdict.why, held_s=held_s, **who))
        return decided

    def reconsider(self) -> None:
        """Ask about those who wait again, and let in whoever may come, one after the other: each that goes in may
        change what is said of the next."""
        queues: dict[tuple[str, str], list[_Held]] = {}
        sessions = self._host.orders_sessions
        for held in self._undecided():
            queues.setdefault(_queue_of(held, sessions), []).append(held)
        while passing := self._passing(queues):
            ruling, held = min(passing, key=lambda pair: (pair[0].order, pair[1].since_s))
            queues[_queue_of(held, sessions)].remove(held)
            if held.decided.done():
                continue
            held.decided.set_result(ruling)  # first: letting in tells policies, and what they do may lead here again
            if ruling.verdict.kind != "refuse":
                self._let_in(held.asked)

    def tell_apart(self, session: str | None = None) -> None:
        """What is said of others goes no longer for those of this session, or for anybody who waits."""
        for held in self._held.values():
            if session is None or held.asked.session == session:
                held.alike = False

    def reconsider_soon(self) -> None:
        """The same once what happens now is over: for what comes many at a time."""
        if self._held and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._reconsider_now)

    def _reconsider_now(self) -> None:
        self._soon = False
        self.reconsider()

    def _passing(self, queues: dict[tuple[str, str], list[_Held]]) -> list[tuple[Ruling, _Held]]:
        """Of each queue the oldest request that is not held any more. A flood of one agent is not asked through."""
        passing: list[tuple[Ruling, _Held]] = []
        barred: set[str] = set()
        alike: set[str] = set()
        for (agent, _), queue in queues.items():
            if len(passing) >= MAX_CHOICE:
                break
            for held in queue if agent not in barred else ():
                if held.decided.done() or (held.alike and held.ruling.by in alike):
                    continue
                ruling = self._host.judge(held.asked, self._now_s())
                if ruling.verdict.kind != "hold":
                    passing.append((ruling, held))
                    break
                held.ruling, held.alike = ruling, ruling.verdict.alike
                self._set_alarm(held)
                if ruling.verdict.everybody:
                    return passing
                if held.alike:
                    alike.add(ruling.by)
                if ruling.verdict.whole_agent:
                    barred.add(agent)
                    break
        return passing

    def _undecided(self) -> list[_Held]:
        return [held for held in self._held.values() if not held.decided.done()]

    def _set_alarm(self, held: _Held) -> None:
        """Ask again when its policy said so, and give up when it was held for long enough."""
        wanted_s = held.ruling.verdict.until_s
        at_s = held.until_s if wanted_s is None else min(wanted_s, held.until_s)
        if at_s != held.at_s and not held.decided.done():
            self._arm(held, at_s)

    def _arm(self, held: _Held, at_s: float) -> None:
        if held.alarm is not None:
            held.alarm.cancel()
        held.at_s = at_s
        delay_s = max(LOOK_AGAIN_S, at_s - self._now_s())
        held.alarm = asyncio.get_running_loop().call_later(delay_s, self._alarmed, held)

    def _alarmed(self, held: _Held) -> None:
        held.alarm, held.at_s, held.alike = None, math.nan, False
        if held.decided.done():
            return
        if self._now_s() < held.until_s:
            self._arm(held, held.until_s)  # others may be held for it too, and it is not asked about by itself then
            self.reconsider_soon()
        else:
            _give_up(held, f"held for {held.until_s - held.since_s:.0f} s: {held.ruling.verdict.why}")

    def _turn_one_away(self) -> None:
        waiting = self._undecided()
        if len(waiting) <= self._max_held:
            return
        tenant = _most([held.asked.tenant for held in waiting])
        agent = _most([held.asked.agent for held in waiting if held.asked.tenant == tenant])
        newest = next(held for held in reversed(waiting) if held.asked.agent == agent)
        _give_up(newest, f"{len(waiting)} requests wait at the door, most of them of {agent}")


def _give_up(held: _Held, why: str) -> None:
    """Have its caller told to come again."""
    verdict = Verdict(kind="refuse", status=503, why=why, retry_in_s=RETRY_S)
    held.decided.set_result(Ruling(verdict, held.ruling.by))


def _queue_of(held: _Held, sessions: bool) -> tuple[str, str]:
    """Who stands in one line: an agent's requests, or those of one of its sessions."""
    return held.asked.agent, held.asked.session if sessions else ""


def _most(names: list[str]) -> str:
    return Counter(names).most_common(1)[0][0]
