"""The door: every generating request passes the doorkeepers before it is forwarded, and gives its place back when it
is over. While no doorkeeper is on it costs one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Protocol

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.door.host import DoorHost, Ruling
from radixdeck.policies.door.strict import must_judge
from radixdeck.policies.doorkeeping import Answered, Asked, Came, DoorFact, Entered, Heard, Left, Matched, Second
from radixdeck.policies.events import (
    EngineEvent,
    PolicySwitched,
    PrefixMatched,
    RequestAdmitted,
    RequestFinished,
    TunableChanged,
)
from radixdeck.policies.identity.who import Who

from .front_asked import limit_output, read_asked
from .front_errors import Refusal
from .front_exchange import CLIENT_GONE, Reports
from .front_tools import read_uses
from .front_waiting import WaitingRoom

MAX_REMEMBERED = 4_096
"""Requests that are over, for which the engine's word on their cached tokens may still come."""
LATER_S = 0.002
"""What nobody waits for is told so much later, when the request or its answer is on its way."""

DECIDES_ANEW = frozenset((PolicySwitched, TunableChanged))
"""After these, what was said of one who waits may no longer go for others."""


class Usage(Protocol):
    """What an answer says of its tokens; `streamed`: what of its output passed by, of each token or more."""

    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def streamed(self) -> int: ...


class Door:
    """`host` says what is done; `now_ns` is the event clock. `priorities`: how the engine takes them (engine.args)."""

    def __init__(self, host: DoorHost, now_ns: Callable[[], int], priorities: int = 0) -> None:
        self._host = host
        self._now_ns = now_ns
        self.priorities = priorities
        self._waiting = WaitingRoom(host, lambda: self._now_s, self._let_in)
        self._inside: dict[str, Asked] = {}
        self._gone: Bounded[str, Asked] = Bounded(MAX_REMEMBERED)

    @property
    def guarded(self) -> bool:
        """Whether anybody wants to be asked about requests."""
        return self._host.guarded

    @property
    def must_judge(self) -> str:
        """See door.strict.must_judge."""
        return must_judge(self._host)

    @property
    def held(self) -> int:
        """Requests that wait at the door."""
        return len(self._waiting)

    @property
    def _now_s(self) -> float:
        return self._now_ns() / 1e9

    def passage(self, route: str, body: dict[str, Any], who: Who, rid: str, size_bytes: int, to: Reports) -> Passage:
        """One request's way through, `size_bytes` long. Entering waits while it is held, may change `body`, and raises
        Refusal; leaving gives its place back."""
        return Passage(self, route, body, who, rid, size_bytes, to)

    def follow(self, event: EngineEvent) -> None:
        """Heed an event of the run."""
        if type(event) is PrefixMatched:
            self._matched(event)
        if type(event) in DECIDES_ANEW:
            self._waiting.tell_apart()
        if self._host.follow(event):
            self._waiting.reconsider_soon()

    def obey(self, policy: str, rules: str) -> None:
        """Give a policy its rules. Raises RulesError or PolicyError, and then nothing has changed."""
        self._host.obey(policy, rules)
        self._waiting.tell_apart()
        self._waiting.reconsider()

    def _matched(self, event: PrefixMatched) -> None:
        asked = self._inside.get(event.rid) or self._gone.pop(event.rid)
        if asked is not None and not event.warm:
            self._host.notice(
                Matched(
                    t_s=event.t_ns / 1e9, asked=asked, prompt_tokens=event.prompt_tokens,
                    cached_tokens=event.cached_tokens, anchor_tokens=event.anchor_tokens,
                    base_tokens=event.base_tokens,
                )
            )  # fmt: skip
            self._waiting.reconsider_soon()

    def hear(self, asked: Asked, body: dict[str, Any], to: Reports) -> None:
        """Let who wants to know see the tool results that a request brings."""
        if self._host.hears and (uses := read_uses(asked.route, body)):
            for fact in self._host.hear(Heard(t_s=self._now_s, asked=asked, uses=uses)):
                to.emit(fact)

    @property
    def hedges(self) -> bool:
        """Whether anybody wants late requests sent to a second engine."""
        return self._host.hedges

    def late_s(self, asked: Asked) -> tuple[str, float] | None:
        """See DoorHost.late_s."""
        return self._host.late_s(asked, self._now_s)

    def hedge(self, by: str, asked: Asked, waited_s: float) -> Second:
        """See DoorHost.hedge."""
        return self._host.hedge(by, asked, waited_s, self._now_s)

    def saved_s(self, by: str, asked: Asked, after_s: float) -> float:
        """See DoorHost.saved_s."""
        return self._host.saved_s(by, asked, after_s, self._now_s)

    def answered(self, asked: Asked, after_s: float, second: Literal["", "won", "lost", "failed"]) -> None:
        """An answer has begun, as Answered says."""
        self._notice_later(Answered(t_s=self._now_s, asked=asked, after_s=after_s, second=second))

    async def enter(self, asked: Asked, to: Reports) -> Ruling:
        """The ruling that lets the request in. Raises Refusal, or CancelledError if the caller goes away meanwhile."""
        came_s = self._now_s
        self._host.notice(Came(t_s=came_s, asked=asked))
        try:
            ruling = self._host.judge(asked, came_s)
            if ruling.verdict.kind == "hold":
                ruling = await self._waiting.wait(asked, ruling, to)
            elif ruling.verdict.kind != "refuse":
                self._let_in(asked)
            if ruling.verdict.kind == "refuse":
                raise _refusal(asked, ruling)
            return ruling
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                _say_gone(asked, to, self._now_s - came_s)
            self.leave(asked, None)
            raise

    def leave(self, asked: Asked, usage: Usage | None) -> None:
        """The request is over, however it ended; whoever waits may come in now."""
        entered = self._inside.pop(asked.rid, None) is not None
        if entered:
            self._gone.put(asked.rid, asked)
        prompt, output = (usage.prompt_tokens or 0, usage.output_tokens or usage.streamed) if usage else (0, 0)
        left = Left(t_s=self._now_s, asked=asked, entered=entered, prompt_tokens=prompt, output_tokens=output)
        self._host.notice(left)
        self._waiting.reconsider()

    def _let_in(self, asked: Asked) -> None:
        self._inside[asked.rid] = asked
        self._waiting.tell_apart(asked.session)
        self._notice_later(Entered(t_s=self._now_s, asked=asked))

    def _notice_later(self, fact: DoorFact) -> None:
        if self._host.notice_later(fact):
            asyncio.get_running_loop().call_later(LATER_S, self._host.settle)


class Passage:
    """See Door.passage. `usage`: the answer's own account of its tokens, None as long as there is none."""

    def __init__(
        self, door: Door, route: str, body: dict[str, Any], who: Who, rid: str, size_bytes: int, to: Reports
    ) -> None:
        self.usage: Usage | None = None
        self._door, self._to = door, to
        self._route, self._body, self._who, self._rid, self._size_bytes = route, body, who, rid, size_bytes
        self._asked: Asked | None = None

    @property
    def asked(self) -> Asked | None:
        """What was let in, None if nobody was asked."""
        return self._asked

    async def __aenter__(self) -> Passage:
        if self._door.guarded:
            asked = read_asked(self._route, self._body, self._who, self._rid, self._size_bytes)
            self._door.hear(asked, self._body, self._to)
            ruling = await self._door.enter(asked, self._to)
            try:
                self._cut(asked, ruling)
                self._rush(ruling)
            except BaseException:  # nobody leaves what was not entered
                self._door.leave(asked, None)
                raise
            self._asked = asked
        return self

    def _cut(self, asked: Asked, ruling: Ruling) -> None:
        if (limit := ruling.verdict.limit_tokens) is not None:
            limit_output(self._route, self._body, limit)
            if asked.output_tokens is not None and asked.output_tokens > limit:
                _say_cut(asked, ruling.limited_by, limit, self._to)

    def _rush(self, ruling: Ruling) -> None:
        """Pass on a priority if the engine takes any and the caller has none of its own."""
        sign, priority = self._door.priorities, ruling.verdict.priority
        if sign and priority is not None and self._body.get("priority") is None:
            self._body["priority"] = sign * priority

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asked is not None:
            self._door.leave(self._asked, self.usage)


def open_door(now_ns: Callable[[], int]) -> Door:
    """A door without doorkeepers."""
    return Door(DoorHost([]), now_ns)


def _refusal(asked: Asked, ruling: Ruling) -> Refusal:
    verdict = ruling.verdict
    kind = "rate_limit_error" if verdict.status == 429 else "policy_refused"
    return Refusal(verdict.status, verdict.why, kind, retry_in_s=verdict.retry_in_s, by=ruling.by, rid=asked.rid)


def _say_gone(asked: Asked, to: Reports, waited_s: float) -> None:
    """The caller went away while it waited."""
    to.emit(
        RequestFinished(
            t_ns=to.now_ns(), rid=asked.rid, agent=asked.agent, session=asked.session, status=CLIENT_GONE,
            finish="abort", latency_s=waited_s,
        )
    )  # fmt: skip


def _say_cut(asked: Asked, by: str, limit: int, to: Reports) -> None:
    to.emit(
        RequestAdmitted(
            t_ns=to.now_ns(), rid=asked.rid, agent=asked.agent, session=asked.session, by=by,
            why=f"asked for {asked.output_tokens} tokens of output, gets at most {limit}",
        )
    )  # fmt: skip
