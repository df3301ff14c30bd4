"""`memoized`: remember what a Python function says that is a tool of an agent, by the same rules as the MCP proxy.

    memory = ToolBox("rules.toml", agent="coder")

    @memory.memoized()                   # by its name in the rules; a function that is not declared there is called
    def search(query: str) -> list[str]: ...

Every tool that changes something belongs into the box too: it is never answered, and what it changes is forgotten.
Only what is JSON is remembered, arguments and results; each caller has a copy, so that nobody's change of it is another
one's result. A function whose rule says `speculate` may be called before anybody does (functions.py). With
`safety_rules` a call that those do not allow raises ToolForbidden. Files that change are read again.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from radixdeck.policies.events import RulesRead
from radixdeck.policies.memoization import Memoization
from radixdeck.policies.safety import Safety
from radixdeck.policies.tools.calls import Key, Ticket, ToolCall
from radixdeck.policies.tools.canonical import NotCanonical, canonical
from radixdeck.policies.tools.early_calls import EarlyCall

from ..clock import now_ns
from ..rules_files import LOOK_PERIOD_S, RulesFiles, read_rules_file
from .functions import Function, can_run
from .keeper import CALLED_OFF, Emit, Keeper

P = ParamSpec("P")
R = TypeVar("R")
Result = Future[bytes | None]
"""What a call under way will have said; None if that is for nobody else."""
_log = logging.getLogger("radixdeck.tools")


class ToolForbidden(PermissionError):
    """The agent may not call this tool; the message says by which rule."""


@dataclass(frozen=True)
class _Leader:
    """The same call, under way. `early`: it was made early, and this is the first to wait for it."""

    result: Result
    early: bool


class ToolBox:
    """The tools of a program that share one memory. `agent`, `session`: whose calls they are, or what tells;
    `safety_rules`: the file of the policy `safety`. Safe in threads; the same call twice at a time is one call.

    Raises RulesError if the rules cannot be used, OSError if the file cannot be read.
    """

    def __init__(
        self,
        rules: Path | str,
        *,
        safety_rules: Path | str = "",
        agent: str | Callable[[], str] = "",
        session: str | Callable[[], str] = "",
        tenant: str = "default",
        emit: Emit = lambda fact: None,
        tunables: dict[str, float] | None = None,
    ) -> None:
        self.keeper = Keeper(Path(rules).read_text(encoding="utf-8"), emit, tunables)
        files = {Memoization.name: str(rules)}
        if safety_rules:
            files[Safety.name] = str(safety_rules)
            self.keeper.obey(Safety.name, read_rules_file(Path(safety_rules)))
        self._files = RulesFiles(files, self.keeper.obey, _read, now_ns)
        self._looked_s = 0.0
        self._agent, self._session, self._tenant = agent, session, tenant
        self._functions: dict[str, Function] = {}
        self._lock = threading.RLock()
        self._under_way: dict[Key, tuple[float, Result]] = {}

    def memoized(self, tool: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
        """The decorator, for functions and coroutine functions. `tool`: its name in the rules if not the function's."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            name = tool or function.__name__
            known = self._functions[name] = Function(function)

            def call_of(*given: P.args, **named: P.kwargs) -> ToolCall:
                call = self._call(name, known.arguments(*given, **named))
                with self._lock:
                    self._look()
                    if why := self.keeper.came(call):
                        raise ToolForbidden(why)
                return call

            if known.waits:
                waits = cast("Callable[P, Awaitable[Any]]", function)

                @functools.wraps(function)
                async def awaited(*given: P.args, **named: P.kwargs) -> Any:
                    return await self._awaited(call_of(*given, **named), lambda: waits(*given, **named))

                return cast("Callable[P, R]", awaited)

            @functools.wraps(function)
            def called(*given: P.args, **named: P.kwargs) -> R:
                return self._called(call_of(*given, **named), lambda: function(*given, **named))

            return called

        return decorate

    def restart(self) -> None:
        """What the tools read and change has begun anew: all results go, and whatever was under way is over, calls that
        were called off included."""
        with self._lock:
            self.keeper.restart("the tool box was started anew")

    def quarantine(self, agent: str, *, on: bool = True) -> None:
        """The agent's calls are forbidden, or are not any more."""
        with self._lock:
            self.keeper.permits.quarantine(agent, on=on)

    def _look(self) -> None:
        """Whether a file of rules has changed, now and then."""
        if (now_s := time.monotonic()) - self._looked_s >= LOOK_PERIOD_S:
            self._looked_s = now_s
            self._files.look()

    def _call(self, tool: str, arguments: dict[str, Any]) -> ToolCall:
        agent = self._agent if isinstance(self._agent, str) else self._agent()
        session = self._session if isinstance(self._session, str) else self._session()
        return ToolCall(tool=tool, arguments=arguments, agent=agent, session=session, tenant=self._tenant)

    def _called(self, call: ToolCall, ask: Callable[[], Any]) -> Any:
        while True:
            begun = self._begin(call)
            if isinstance(begun, bytes):
                return self._answered(call, begun)
            if isinstance(begun, _Flight):
                with begun:
                    begun.value = ask()
                return begun.value
            if (kept := begun.result.result()) is not None:
                return self._joined(call, begun, kept)

    async def _awaited(self, call: ToolCall, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            begun = self._begin(call)
            if isinstance(begun, bytes):
                return self._answered(call, begun)
            if isinstance(begun, _Flight):
                with begun:
                    begun.value = await ask()
                return begun.value
            if (kept := await asyncio.shield(asyncio.wrap_future(begun.result))) is not None:
                return self._joined(call, begun, kept)

    def _begin(self, call: ToolCall) -> bytes | _Leader | _Flight:
        """The result from memory, that of the same call under way, or a call of the tool's own. Raises ToolForbidden:
        whoever waited for another call in vain may have been forbidden it meanwhile."""
        with self._lock:
            if why := self.keeper.forbidden(call):
                raise ToolForbidden(why)
            asked = self.keeper.ask(call)
            ticket = asked.ticket
            if ticket is None:
                return asked.value
            own: Result | None = None
            if ticket.key is not None and ticket.shared:
                began_s, leader = self._under_way.get(ticket.key, (0.0, None))
                if leader is not None and ticket.began_s - began_s < ticket.ttl_s:
                    self.keeper.called_off(call, ticket)  # it has no way of its own
                    return _Leader(leader, self.keeper.wanted(ticket.key))
                own = Future()
                self._under_way[ticket.key] = (ticket.began_s, own)
            self.keeper.goes(call, asked)
            return _Flight(self, call, ticket, own)

    def _joined(self, call: ToolCall, leader: _Leader, kept: bytes) -> Any:
        if not leader.early:
            with self._lock:
                self.keeper.joined(call, 0.0)
        return self._answered(call, kept)

    def _answered(self, call: ToolCall, kept: bytes) -> Any:
        value = json.loads(kept)
        with self._lock:
            self.keeper.over(call, lambda: value)
        self._go_ahead()
        return value

    def _go_ahead(self) -> None:
        """Make the calls that will likely come, as far as nothing stands in their way."""
        while True:
            with self._lock:
                early = self.keeper.next_early(lambda tool: can_run(self._functions.get(tool)))
                if early is None:
                    return
                own, ticket = Future[bytes | None](), early.ticket
                if ticket.key is not None:
                    self._under_way[ticket.key] = (ticket.began_s, own)
                flight = _Flight(self, early.call, ticket, own, early)
            self._functions[early.call.tool].start(early.call.arguments, flight)

    def end(self, flight: _Flight, value: bytes | None, proof: bytes | None, *, called_off: bool) -> None:
        """A call is over: remember it, and tell those who wait."""
        with self._lock:
            key = flight.ticket.key
            if key is not None and flight.own is not None and self._under_way.get(key, (0.0, None))[1] is flight.own:
                del self._under_way[key]
            if flight.early is not None:
                self.keeper.early_over(flight.early, value, proof, called_off=CALLED_OFF if called_off else "")
            elif called_off:
                self.keeper.called_off(flight.call, flight.ticket)
            else:
                self.keeper.answered(flight.call, flight.ticket, value, proof)
                self.keeper.over(flight.call, lambda: flight.value, flight.ticket)
        if flight.own is not None:
            flight.own.set_result(value)
        if not called_off:  # what is called off may be all that its loop runs: nothing is to begin there
            self._go_ahead()


class _Flight:
    """A call while the function runs; its result, once it is there, is `value`. `own`: what others wait for; `early`:
    nobody has made it."""

    def __init__(
        self, box: ToolBox, call: ToolCall, ticket: Ticket, own: Result | None, early: EarlyCall | None = None
    ) -> None:
        self.call, self.ticket, self.own, self.early = call, ticket, own, early
        self.value: Any = None
        self.ended = False
        self._box = box

    def __enter__(self) -> _Flight:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        value, proof = (None, None)
        self.ended = True
        if error is None and self.ticket.key is not None:
            value, proof = _copies(self.value)
        self._box.end(self, value, proof, called_off=isinstance(error, asyncio.CancelledError))


def _read(fact: RulesRead) -> None:
    if not fact.ok:
        _log.warning("rules in %s cannot be used, the former ones hold: %s", fact.path, fact.detail)


def _copies(value: Any) -> tuple[bytes | None, bytes | None]:
    """A result as it is kept and as it is compared; None, None if it is not JSON."""
    try:
        return json.dumps(value).encode(), canonical(value)
    except (NotCanonical, TypeError, ValueError):
        return None, None
