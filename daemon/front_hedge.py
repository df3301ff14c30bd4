"""Sends a late request to a second engine too and takes the answer that begins first; the other one is cancelled.

Without a second send there is no task beside the request's own: the first engine is waited for as ever, and a timer
asks the policy once that takes too long. Neither engine's error is heard while the other may still answer; if both
fail, the first one's is. Once an answer has begun it is decided: what breaks off later is not sent again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict

from radixdeck.policies.doorkeeping import Asked, Second
from radixdeck.policies.events import RequestHedged

from .front_abort import Aborts
from .front_access import bearer
from .front_begun import LOST, Begun, answers, begin
from .front_door import Door
from .front_exchange import Exchange, Reports
from .replica_urls import Replica
from .replicas import Replicas

MARK = "x-radixdeck-hedge"
"""On a request that was sent a second time: whoever gets it does not send it a third time."""

Send = Callable[[str, CIMultiDict[str]], Awaitable[aiohttp.ClientResponse]]
"""Sends the request to the engine at a URL, with these headers."""


@dataclass(frozen=True)
class Hedges:
    """What the races of all requests need: `door` has the policies, `replicas` the second engines; `own`: headers of
    the front's own calls to the first engine."""

    door: Door
    replicas: Replicas
    aborts: Aborts
    to: Reports
    own: Mapping[str, str]

    def late(self, asked: Asked | None, request: web.Request) -> Late | None:
        """When it is late; None if it is never sent to a second engine."""
        if asked is None or not self.replicas.known or MARK in request.headers:
            return None
        told = self.door.late_s(asked)
        return None if told is None else Late(self, asked, *told)


@dataclass(frozen=True)
class Late:
    """A request that policy `by` has sent to a second engine when it has waited for `late_s`, infinite while nobody
    knows what is late."""

    hedges: Hedges
    asked: Asked
    by: str
    late_s: float

    @property
    def may_come(self) -> bool:
        """Whether it is known what is late."""
        return not math.isinf(self.late_s)

    def learn(self, exchange: Exchange, sent_s: float) -> None:
        """It was not sent twice and has its answer: see how long that took to begin. `sent_s`: when it was sent."""
        if not exchange.watch.failed:
            self.hedges.door.answered(self.asked, (exchange.begun_s or time.perf_counter()) - sent_s, "")


class Race:
    """One request on its way to `engine` and, if that takes too long, to a second one. Entering waits until an answer
    begins, which is the one that the exchange watches from then on, and raises what the first engine was lost by if
    there is none; leaving says what became of it."""

    def __init__(self, late: Late, exchange: Exchange, send: Send, engine: str, headers: CIMultiDict[str]) -> None:
        self._hedges, self._late, self._exchange = late.hedges, late, exchange
        self._send, self._engine, self._headers = send, engine, headers
        self._loop = asyncio.get_running_loop()
        self._sent_s = time.perf_counter()
        self._scope: asyncio.Timeout | None = None  # while the first engine is waited for
        self._second: asyncio.Task[Begun | None] | None = None
        self._replica: Replica | None = None
        self._why, self._waited_s, self._failed = "", 0.0, ""
        self._twice = False
        self._winner: Begun | None = None
        self._fact: RequestHedged | None = None

    async def __aenter__(self) -> Begun:
        alarm = self._loop.call_later(self._late.late_s, self._is_late)
        try:
            self._winner = await self._first_to_begin()
        except BaseException as error:
            self._drop_second()
            if isinstance(error, asyncio.CancelledError) and self._second is not None:
                self._tell("left")
            self._report()
            raise
        finally:
            alarm.cancel()
        self._exchange.watch = self._winner.watch
        return self._winner

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._winner is not None
        if kind is None:
            self._winner.answer.release()
        else:
            self._winner.answer.close()
            if self._fact is not None and self._fact.what == "won":
                self._abort_second()
        self._report()

    # ---- the race ----------------------------------------------------------------------------------------------------

    async def _first_to_begin(self) -> Begun:
        own = await self._own()
        if isinstance(own, Begun) and own.good:
            self._twice = self._second is not None and not self._failed
            self._decided("lost" if self._twice else "failed" if self._second else "")
            self._drop_second()
            return own
        try:
            second = None if self._second is None else await self._second
        except BaseException:
            if isinstance(own, Begun):
                own.answer.close()
            raise
        if second is not None:
            if isinstance(own, Begun):
                own.answer.close()
            self._twice = own is None
            self._decided("won")
            return second
        if self._second is not None:
            self._tell("failed")
        if isinstance(own, Begun):
            return own
        assert own is not None
        raise own

    async def _own(self) -> Begun | Exception | None:
        """What became of the first engine: an answer, what it was lost by, or None if it was given up."""
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                return await begin(self._send(self._engine, self._headers), self._exchange.route)
        except LOST as error:
            if not scope.expired():
                return error
            self._hedges.aborts.tell(self._engine, self._exchange.rid, self._hedges.own)
            return None
        finally:
            self._scope = None

    def _is_late(self) -> None:
        """The timer: have it sent to a second engine if there is one and the policy says so."""
        self._waited_s = time.perf_counter() - self._sent_s
        if self._scope is None:
            return
        replica = self._hedges.replicas.next()
        if replica is None:
            word = Second(send=False, why=f"no answer after {1e3 * self._waited_s:.0f} ms; no second engine is usable")
        else:
            word = self._hedges.door.hedge(self._late.by, self._late.asked, self._waited_s)
        self._why = word.why
        if replica is None or not word.send:
            self._tell("kept")
            return
        self._replica = replica
        self._second = self._loop.create_task(self._elsewhere(replica))
        self._second.add_done_callback(self._second_is_done)

    async def _elsewhere(self, replica: Replica) -> Begun | None:
        """The second engine's answer, None if that is an error. Whatever it does, the first one's may still count."""
        headers = replica.headers(self._headers)
        headers[MARK] = "1"
        try:
            begun = await begin(self._send(replica.url, headers), self._exchange.route)
        except Exception as error:
            self._failed = f"{type(error).__name__}: {error}"
            if isinstance(error, LOST):
                self._hedges.replicas.lost(replica, f"it was lost: {self._failed}")
            return None
        if begun.good:
            return begun
        begun.answer.close()
        self._failed = "an error in its stream" if answers(begun.answer) else f"HTTP {begun.answer.status}"
        return None

    def _second_is_done(self, second: asyncio.Task[Begun | None]) -> None:
        """Have the first engine given up for a good answer."""
        if self._scope is not None and not second.cancelled() and second.result() is not None:
            self._scope.reschedule(self._loop.time())

    def _drop_second(self) -> None:
        """The second engine's answer is not wanted any more."""
        second = self._second
        if second is None or self._failed:
            return
        if not second.cancel() and not second.cancelled() and (begun := second.result()) is not None:
            begun.answer.close()
        self._abort_second()

    def _abort_second(self) -> None:
        assert self._replica is not None
        self._hedges.aborts.tell(self._replica.url, self._exchange.rid, bearer(self._replica.key))

    # ---- what is told ------------------------------------------------------------------------------------------------

    def _decided(self, second: Literal["", "won", "lost", "failed"]) -> None:
        """An answer has begun. `second`: what became of the second engine, as Answered says it."""
        late, after_s = self._late, time.perf_counter() - self._sent_s
        saved_s = self._hedges.door.saved_s(late.by, late.asked, after_s) if second == "won" else 0.0
        if second:
            self._tell(second, answer_s=after_s, saved_s=saved_s)
        elif self._fact is not None:
            self._fact = msgspec.structs.replace(self._fact, answer_s=after_s)
        self._hedges.door.answered(late.asked, after_s, second)

    def _tell(
        self, what: Literal["won", "lost", "failed", "left", "kept"], answer_s: float = 0.0, saved_s: float = 0.0
    ) -> None:
        asked, failed = self._late.asked, f"; the second engine: {self._failed}" if self._failed else ""
        self._fact = RequestHedged(
            t_ns=0, rid=self._exchange.rid, agent=asked.agent, session=asked.session, by=self._late.by,
            why=self._why + failed, what=what, waited_s=self._waited_s,
            engine=self._replica.url if self._replica else "", answer_s=answer_s, saved_s=saved_s,
        )  # fmt: skip

    def _report(self) -> None:
        """Say it at last, when the answer has told how long the prompt was."""
        if (fact := self._fact) is None:
            return
        self._fact = None
        tokens = (self._exchange.watch.prompt_tokens or 0) if self._twice else 0
        self._hedges.to.emit(msgspec.structs.replace(fact, t_ns=self._hedges.to.now_ns(), wasted_tokens=tokens))
