"""Between one MCP client and one MCP server, message by message: everything passes, and calls of read-only tools are
answered from memory. No kind of message needs to be known to pass, so neither side misses anything of the other.

The same call twice at a time is one call (single flight). A result is kept only if it is plain and complete, and if the
server asked the client nothing while it was made: what a person or a model said for it is not the tool's alone.

A call that is made early (early_calls) is a flight for which nobody waits; neither side sees anything of it but the
server its request, and the client, should it make that call, the result.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from mcp_types import (
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.tools.calls import Key, Ticket, ToolCall
from radixdeck.policies.tools.early_calls import EarlyCall

from .hints import Hints
from .keeper import CALLED_OFF, Keeper
from .messages import (
    FORBIDDEN,
    HARMLESS,
    NEWS,
    SERVER_GONE,
    call_of,
    is_asked_for_a_call,
    is_lost,
    kept_of,
    request_of,
    said_of,
)

Send = Callable[[JSONRPCMessage], Awaitable[None]]
RequestId = int | str

MAX_UNASKED = 1024
EARLY_ID = "radixdeck-early-{}"
STOOD_BACK = "a call that somebody waits for goes first"
ASKS = "the server asked its client something during a call of it"
UNASKED = "no call of a tool is under way that anybody has made"


class _Flight:
    """A call on its way to the server. `others`: the same call, asked meanwhile; `plain`: whether its result may be
    kept; `called_off`: nobody waits but those others; `goes_on`: its answer is not its end; `early`: nobody has made
    it."""

    def __init__(self, request: JSONRPCRequest, call: ToolCall, ticket: Ticket, early: EarlyCall | None = None) -> None:
        self.request_id, self.call, self.ticket = request.id, call, ticket
        self.goes_on = "task" in (request.params or {})
        self.others: dict[RequestId, tuple[JSONRPCRequest, ToolCall]] = {}
        self.plain = True
        self.early, self.told_early = early, False
        self.called_off = early is not None


class Relay:
    """`agent`, `tenant`: whose calls these are unless they say another agent. `may_go_on`: a call may still be carried
    out when an error comes in the place of its answer.

    By request id: `_open`, what the server has not answered; `_flights`, the calls among that; `_joined`, whose result
    a call waits for that did not go to the server; `_changing`, methods that may change what tools read; `_unasked`,
    early calls that were called off.
    """

    def __init__(
        self, keeper: Keeper, to_client: Send, to_server: Send, *, agent: str, tenant: str, may_go_on: bool = False
    ) -> None:
        self._may_go_on = may_go_on
        self._keeper = keeper
        self._to_client, self._to_server = to_client, to_server
        self._agent, self._tenant = agent, tenant
        self._flights: dict[RequestId, _Flight] = {}
        self._by_key: dict[Key, _Flight] = {}
        self._open: dict[RequestId, str] = {}
        self._joined: dict[RequestId, _Flight] = {}
        self._changing: dict[RequestId, str] = {}
        self._hints = Hints(keeper)
        self._early_ids = count(1)
        self._unasked: Bounded[RequestId, bool] = Bounded(MAX_UNASKED)

    # ---- from the client ---------------------------------------------------------------------------------------------

    async def from_client(self, message: JSONRPCMessage) -> None:
        """One message of the client."""
        if isinstance(message, JSONRPCRequest):
            if any(message.id in known for known in (self._open, self._joined, self._unasked)):
                await self._refuse(message.id, INVALID_REQUEST, f"request id {message.id!r} is in use")
                return
            if message.method == "tools/call":
                call = call_of(message, self._agent, self._tenant)
                await self._called(message, call, self._keeper.came(call))
                return
            self._open[message.id] = message.method
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            await self._cancelled(message)
            return
        if isinstance(message, JSONRPCRequest | JSONRPCNotification) and message.method not in HARMLESS:
            self._keeper.forget_all(f"the client sent {message.method}")
            if isinstance(message, JSONRPCRequest):
                self._changing[message.id] = message.method
        await self._to_server(message)

    async def _called(self, request: JSONRPCRequest, call: ToolCall, forbidden: str) -> None:
        if forbidden:
            await self._refuse(request.id, FORBIDDEN, forbidden)
            return
        for method in self._changing.values():  # nothing is answered in between
            self._keeper.forget_all(f"{method} is under way")
        asked = self._keeper.ask(call)
        ticket = asked.ticket
        if ticket is None:
            await self._answer(request, call, json.loads(asked.value))
            await self._go_ahead()
            return
        leader = self._by_key.get(ticket.key) if ticket.key is not None and ticket.shared else None
        if leader is not None and ticket.began_s - leader.ticket.began_s < ticket.ttl_s:
            self._keeper.called_off(call, ticket)  # it has no way of its own
            leader.others[request.id] = (request, call)
            leader.told_early = self._keeper.wanted(ticket.key) or leader.told_early
            self._joined[request.id] = leader
            return
        self._keeper.goes(call, asked)
        await self._stand_back(ticket)
        await self._send(request, _Flight(request, call, ticket))

    async def _answer(self, request: JSONRPCRequest, call: ToolCall, result: dict[str, Any]) -> None:
        """With a result that the tool was not asked for."""
        answer = JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)
        await self._to_client(answer)
        self._keeper.over(call, lambda: said_of(answer))

    async def _send(self, request: JSONRPCRequest, flight: _Flight) -> None:
        self._flights[request.id] = flight
        self._open[request.id] = request.method
        if flight.ticket.key is not None:
            self._by_key[flight.ticket.key] = flight
        await self._to_server(request)

    async def _refuse(self, request_id: RequestId, code: int, why: str) -> None:
        error = ErrorData(code=code, message=why)
        await self._to_client(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))

    async def _cancelled(self, notification: JSONRPCNotification) -> None:
        """A call that others wait for goes on; of a change that is called off nobody knows when it ends."""
        wanted = (notification.params or {}).get("requestId")
        if not isinstance(wanted, int | str):
            await self._to_server(notification)
        elif (leader := self._joined.pop(wanted, None)) is not None:
            leader.others.pop(wanted, None)
            if leader.called_off and not leader.others and self._flights.get(leader.request_id) is leader:
                await self._call_off(leader, notification)
        elif (flight := self._flights.get(wanted)) is not None:
            flight.called_off = True
            if not flight.others:
                await self._call_off(flight, notification)
        else:
            self._open.pop(wanted, None)
            if wanted in self._changing:
                self._keeper.unsettled(self._changing[wanted])
            await self._to_server(notification)

    async def _call_off(self, flight: _Flight, notification: JSONRPCNotification) -> None:
        """Nobody waits for it any more."""
        self._open.pop(flight.request_id, None)
        self._flights.pop(flight.request_id, None)
        self._land(flight)
        if flight.early is not None:
            self._unasked.put(flight.request_id, True)
            self._keeper.early_over(flight.early, None, called_off=CALLED_OFF)
        else:
            self._keeper.called_off(flight.call, flight.ticket)
        params = {**(notification.params or {}), "requestId": flight.request_id}
        await self._to_server(JSONRPCNotification(jsonrpc="2.0", method=notification.method, params=params))

    # ---- from the server ---------------------------------------------------------------------------------------------

    async def from_server(self, message: JSONRPCMessage) -> None:
        """One message of the server."""
        if isinstance(message, JSONRPCRequest) and self._is_asked_for_nobody(message):
            error = ErrorData(code=INVALID_REQUEST, message=UNASKED)
            await self._to_server(JSONRPCError(jsonrpc="2.0", id=message.id, error=error))
            return
        if isinstance(message, JSONRPCNotification) and message.method in NEWS:
            self._keeper.forget_all(f"the server sent {message.method}")
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            if self._unasked.pop(message.id):
                return
            method = self._open.pop(message.id, "")
            if message.id in self._changing and self._may_go_on and is_lost(message):
                self._keeper.unsettled(self._changing[message.id])
            elif (changed := self._changing.pop(message.id, "")) != "":
                self._keeper.forget_all(f"the server answered {changed}")
            if (flight := self._flights.pop(message.id, None)) is not None:
                await self._ended(flight, message)
                return
            if method == "tools/list" and isinstance(message, JSONRPCResponse):
                self._hints.listed(message.result)
        await self._to_client(message)

    def _is_asked_for_nobody(self, request: JSONRPCRequest) -> bool:
        """What the server asks its client makes results no tool's alone. Whether all that is under way is early."""
        if not is_asked_for_a_call(request) and not any(flight.goes_on for flight in self._early()):
            return False
        for flight in self._flights.values():
            flight.plain = False
            if flight.early is not None or len(self._flights) == 1:
                self._keeper.never_early(flight.call.tool, ASKS)
        early = self._early()
        return 0 < len(early) == len(self._open) and not any(flight.others for flight in early)

    async def _ended(self, flight: _Flight, message: JSONRPCResponse | JSONRPCError) -> None:
        self._land(flight)
        value = proof = None
        if isinstance(message, JSONRPCResponse) and flight.plain:
            value, proof = kept_of(message.result)
        took_s = self._keeper.clock() - flight.ticket.began_s
        if flight.early is not None:
            self._keeper.early_over(flight.early, value, proof)
        elif flight.goes_on or (self._may_go_on and is_lost(message)):
            self._keeper.called_off(flight.call, flight.ticket)
        else:
            self._keeper.answered(flight.call, flight.ticket, value, proof)
        if not flight.called_off:
            await self._to_client(message)
            self._keeper.over(flight.call, lambda: said_of(message), flight.ticket)
        for request_id, (request, call) in tuple(flight.others.items()):
            if self._joined.pop(request_id, None) is None:
                continue  # called off while the others were told
            if value is not None and isinstance(message, JSONRPCResponse):
                if not flight.told_early:
                    self._keeper.joined(call, took_s)
                flight.told_early = False
                await self._answer(request, call, message.result)
            else:  # an error is nobody's but its caller's
                await self._called(request, call, self._keeper.forbidden(call))
        await self._go_ahead()

    async def server_gone(self, why: str) -> None:
        """The server will not answer any more: say so to all who wait."""
        self._keeper.restart(why)
        for flight in self._flights.values():
            if flight.early is not None:
                self._open.pop(flight.request_id, None)
                self._keeper.early_over(flight.early, None, called_off=why)
        waiting = [*self._open, *self._joined]
        self._open.clear()
        self._joined.clear()
        self._changing.clear()
        self._flights.clear()
        self._by_key.clear()
        for request_id in waiting:
            await self._refuse(request_id, SERVER_GONE, why)

    # ---- calls that nobody has made yet ------------------------------------------------------------------------------

    async def _go_ahead(self) -> None:
        """Make the calls that will likely come, as far as nothing stands in their way."""
        while not self._changing and not (self._serial() and len(self._open) > len(self._early())):
            early = self._keeper.next_early()
            if early is None:
                return
            free = (name for n in self._early_ids if (name := EARLY_ID.format(n)) not in self._open)
            request = request_of(early.call, next(free))
            await self._send(request, _Flight(request, early.call, early.ticket, early))

    async def _stand_back(self, ticket: Ticket) -> None:
        """A server that does one thing at a time is to do first what somebody waits for; the same call made early goes
        on, since what both say is compared."""
        for flight in [*self._flights.values()] if self._serial() else []:
            if flight.early is not None and not flight.others and flight.ticket.key != ticket.key:
                params = {"reason": STOOD_BACK}
                told = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params=params)
                await self._call_off(flight, told)

    def _serial(self) -> bool:
        return self._keeper.policy.memory.rules.serial

    def _early(self) -> list[_Flight]:
        return [flight for flight in self._flights.values() if flight.early is not None]

    def _land(self, flight: _Flight) -> None:
        """Nobody can wait for it any more."""
        if flight.ticket.key is not None and self._by_key.get(flight.ticket.key) is flight:
            del self._by_key[flight.ticket.key]
