"""One generation between a caller and the engine: what is reported of it, each fact once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from radixdeck.policies.events import (
    AnswerGiven,
    EngineEvent,
    FinishReason,
    FirstTokenSent,
    FrontEvent,
    NextAgentHinted,
    RequestArrived,
    RequestFinished,
    SessionEnded,
    ToolCalled,
)
from radixdeck.policies.identity.who import Who

from .front_body import Prepared
from .front_sse import AnswerWatch

if TYPE_CHECKING:
    from .front_hedge import Late

CLIENT_GONE = 499
"""Status recorded for a caller that went away before it had its answer."""


class Reports(msgspec.Struct, frozen=True):
    """Where facts go: `emit` the front stream, `hint` the engine stream; `now_ns`: UTC nanoseconds."""

    emit: Callable[[FrontEvent], None]
    hint: Callable[[EngineEvent], None]
    now_ns: Callable[[], int]


class Exchange:
    """Reports the arrival when made, then the first token, then the end. `next_agent`: who the caller says comes next
    in the session, '' if it does not say; `closing_words`: as in DaemonConfig. `late`: when it is sent to a second
    engine, None if it never is. `begun_s`: when the first content of a stream was with the caller (performance
    counter), 0 before."""

    def __init__(
        self,
        who: Who,
        prepared: Prepared,
        route: str,
        body_bytes: int,
        arrived_ns: int,
        to: Reports,
        next_agent: str = "",
        closing_words: Sequence[str] = (),
    ) -> None:
        self.rid = prepared.rid
        self.route = route
        self.late: Late | None = None
        self.begun_s = 0.0
        self.batch = prepared.batch
        self.watch = AnswerWatch(route)
        self._who = who
        self._next_agent = next_agent
        self._closing_words = closing_words
        self._arrived_ns = arrived_ns
        self._to = to
        self._ttft_s: float | None = None
        self._streamed = prepared.stream
        self._over = False
        to.emit(
            RequestArrived(
                t_ns=arrived_ns,
                rid=prepared.rid,
                agent=who.agent,
                session=who.session,
                tenant=who.tenant,
                route=route,
                stream=prepared.stream,
                body_bytes=body_bytes,
                declared=who.declared,
            )
        )

    def sent(self) -> None:
        """Bytes that `watch` has read are with the caller."""
        if self.watch.begun and self._ttft_s is None:
            now, self.begun_s = self._to.now_ns(), time.perf_counter()
            self._ttft_s = (now - self._arrived_ns) / 1e9
            self._to.emit(FirstTokenSent(t_ns=now, rid=self.rid, ttft_s=self._ttft_s))

    def finished(self, status: int, finish: FinishReason | None = None, *, session_over: bool = False) -> None:
        """The exchange is over. `finish`: what ended it, if not what the answer itself says. Later calls do nothing."""
        if self._over:
            return
        self._over = True
        now, who, watch = self._to.now_ns(), self._who, self.watch
        finish = finish or watch.finish
        self._to.emit(
            RequestFinished(
                t_ns=now,
                rid=self.rid,
                agent=who.agent,
                session=who.session,
                status=status,
                finish=finish,
                latency_s=(now - self._arrived_ns) / 1e9,
                ttft_s=self._ttft_s,
                prompt_tokens=watch.prompt_tokens,
                output_tokens=watch.output_tokens,
                streamed=self._streamed,
            )
        )
        if finish == "tool_calls" or (finish == "stop" and watch.tools):
            self._to.hint(ToolCalled(t_ns=now, rid=self.rid, agent=who.agent, session=who.session, tools=watch.tools))
        else:
            closes = finish == "stop" and not self.batch and watch.closes(self._closing_words)
            self._to.hint(
                AnswerGiven(t_ns=now, rid=self.rid, agent=who.agent, session=who.session, finish=finish, closes=closes)
            )
        if session_over:
            self._to.hint(SessionEnded(t_ns=now, session=who.session))
        elif self._next_agent and status < 400:
            self._to.hint(NextAgentHinted(t_ns=now, session=who.session, agent=self._next_agent, rid=self.rid))
