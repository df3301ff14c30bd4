"""`memoized`: remember what a Python function says that is a tool of an agent, by the same rules as the MCP proxy.

    memory = ToolBox("rules.toml", agent="coder")

    @memory.memoized()                   # by its name in the rules; a function that is not declared there is called
    def search(query: str) -> list[str]: ...

Every tool that changes something belongs into the box too: it is never answered, and what it changes is forgotten.
Only what is JSON is remembered, arguments and results; each caller has a copy, so that nobody's change of it is another
one's result.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from radixdeck.policies.canonical import NotCanonical, canonical
from radixdeck.policies.tool_calls import Key, Ticket, ToolCall

from .keeper import Emit, Keeper

P = ParamSpec("P")
R = TypeVar("R")
Result = Future[bytes | None]
"""What a call under way will have said; None if that is for nobody else."""


class ToolBox:
    """The tools of a program that share one memory. `agent`: whose calls they are, or what tells. Safe in threads; the
    same call twice at a time is one call.

    Raises RulesError if the rules cannot be used, OSError if the file cannot be read.
    """

    def __init__(
        self,
        rules: Path | str,
        *,
        agent: str | Callable[[], str] = "",
        tenant: str = "default",
        emit: Emit = lambda fact: None,
        tunables: dict[str, float] | None = None,
    ) -> None:
        self.keeper = Keeper(Path(rules).read_text(encoding="utf-8"), emit, tunables)
        self._agent, self._tenant = agent, tenant
        self._lock = threading.RLock()
        self._under_way: dict[Key, tuple[float, Result]] = {}

    def memoized(self, tool: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
        """The decorator, for functions and coroutine functions. `tool`: its name in the rules if not the function's."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            name = tool or function.__name__
            signature = inspect.signature(function)

            def call_of(*given: P.args, **named: P.kwargs) -> ToolCall:
                bound = signature.bind(*given, **named)
                bound.apply_defaults()
                return self._call(name, bound)

            if inspect.iscoroutinefunction(function):
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

    def _call(self, tool: str, bound: inspect.BoundArguments) -> ToolCall:
        agent = self._agent if isinstance(self._agent, str) else self._agent()
        return ToolCall(tool=tool, arguments=_plain(bound), agent=agent, tenant=self._tenant)

    def _called(self, call: ToolCall, ask: Callable[[], Any]) -> Any:
        while True:
            begun = self._begin(call)
            if isinstance(begun, bytes):
                return json.loads(begun)
            if isinstance(begun, _Flight):
                with begun:
                    begun.value = ask()
                return begun.value
            if (kept := begun.result()) is not None:
                return self._joined(call, kept)

    async def _awaited(self, call: ToolCall, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            begun = self._begin(call)
            if isinstance(begun, bytes):
                return json.loads(begun)
            if isinstance(begun, _Flight):
                with begun:
                    begun.value = await ask()
                return begun.value
            if (kept := await asyncio.shield(asyncio.wrap_future(begun))) is not None:
                return self._joined(call, kept)

    def _begin(self, call: ToolCall) -> bytes | Result | _Flight:
        """The result from memory, that of the same call under way, or a call of the tool's own."""
        with self._lock:
            asked = self.keeper.ask(call)
            ticket = asked.ticket
            if ticket is None:
                return asked.value
            own: Result | None = None
            if ticket.key is not None and ticket.shared:
                began_s, leader = self._under_way.get(ticket.key, (0.0, None))
                if leader is not None and ticket.began_s - began_s < ticket.ttl_s:
                    self.keeper.called_off(call, ticket)  # it has no way of its own
                    return leader
                own = Future()
                self._under_way[ticket.key] = (ticket.began_s, own)
            self.keeper.goes(call, asked)
            return _Flight(self, call, ticket, own)

    def _joined(self, call: ToolCall, kept: bytes) -> Any:
        with self._lock:
            self.keeper.joined(call, 0.0)
        return json.loads(kept)

    def end(self, flight: _Flight, value: bytes | None, proof: bytes | None, *, called_off: bool) -> None:
        """A call is over: remember it, and tell those who wait."""
        with self._lock:
            key = flight.ticket.key
            if key is not None and flight.own is not None and self._under_way.get(key, (0.0, None))[1] is flight.own:
                del self._under_way[key]
            if called_off:
                self.keeper.called_off(flight.call, flight.ticket)
            else:
                self.keeper.answered(flight.call, flight.ticket, value, proof)
        if flight.own is not None:
            flight.own.set_result(value)


class _Flight:
    """A call while the function runs; its result, once it is there, is `value`. `own`: what others wait for."""

    def __init__(self, box: ToolBox, call: ToolCall, ticket: Ticket, own: Result | None) -> None:
        self.call, self.ticket, self.own = call, ticket, own
        self.value: Any = None
        self._box = box

    def __enter__(self) -> _Flight:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        value, proof = (None, None)
        if error is None and self.ticket.key is not None:
            value, proof = _copies(self.value)
        self._box.end(self, value, proof, called_off=isinstance(error, asyncio.CancelledError))


def _plain(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Arguments by name; extra positional ones are a list, extra named ones an object."""
    kinds = inspect.Parameter
    return {
        name: list(value) if bound.signature.parameters[name].kind is kinds.VAR_POSITIONAL else value
        for name, value in bound.arguments.items()
    }


def _copies(value: Any) -> tuple[bytes | None, bytes | None]:
    """A result as it is kept and as it is compared; None, None if it is not JSON."""
    try:
        return json.dumps(value).encode(), canonical(value)
    except (NotCanonical, TypeError, ValueError):
        return None, None
