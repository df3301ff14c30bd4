"""Between one MCP client and one MCP server, message by message: everything passes, and calls of read-only tools are
answered from memory. No kind of message needs to be known to pass, so neither side misses anything of the other.

The same call twice at a time is one call (single flight). A result is kept only if it is plain and complete, and if the
server asked the client nothing while it was made: what a person or a model said for it is not the tool's alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mcp_types import (
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from radixdeck.policies.canonical import NotCanonical, canonical
from radixdeck.policies.tool_calls import Key, Ticket, ToolCall

from .keeper import Keeper

Send = Callable[[JSONRPCMessage], Awaitable[None]]
RequestId = int | str

AGENT, SESSION = "radixdeck/agent", "radixdeck/session"
"""Where in `_meta` a client that runs several agents says whose call it is."""
TRANSPORT_META = frozenset({"progressToken", "traceparent", "tracestate", "baggage", AGENT, SESSION})
"""What a caller sends along that has no part in a result."""
HARMLESS = frozenset(
    {
        "initialize", "server/discover", "ping", "tools/list", "resources/list", "resources/templates/list",
        "resources/read", "resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get",
        "completion/complete", "logging/setLevel", "subscriptions/listen", "tasks/get", "tasks/list", "tasks/result",
        "notifications/initialized", "notifications/progress",
    }
)  # fmt: skip
"""What a client may ask or tell without changing anything that tools read."""
NEWS = frozenset(
    {
        "notifications/tools/list_changed", "notifications/resources/list_changed", "notifications/resources/updated",
    }
)  # fmt: skip
"""How a server tells that something changed."""
SERVER_GONE = -32000


class _Flight:
    """A call on its way to the server. `others`: the same call, asked meanwhile; `plain`: whether its result may be
    kept; `called_off`: its caller does not wait any more; `goes_on`: its answer is not its end."""

    def __init__(self, request: JSONRPCRequest, call: ToolCall, ticket: Ticket) -> None:
        self.request_id, self.call, self.ticket = request.id, call, ticket
        self.goes_on = "task" in (request.params or {})
        self.others: dict[RequestId, tuple[JSONRPCRequest, ToolCall]] = {}
        self.plain = True
        self.called_off = False


class Relay:
    """`agent`, `tenant`: whose calls these are unless they say another agent.

    By request id: `_open`, what the server has not answered; `_flights`, the calls among that; `_joined`, whose result
    a call waits for that did not go to the server; `_changing`, methods that may change what tools read.
    """

    def __init__(self, keeper: Keeper, to_client: Send, to_server: Send, *, agent: str, tenant: str) -> None:
        self._keeper = keeper
        self._to_client, self._to_server = to_client, to_server
        self._agent, self._tenant = agent, tenant
        self._flights: dict[RequestId, _Flight] = {}
        self._by_key: dict[Key, _Flight] = {}
        self._open: dict[RequestId, str] = {}
        self._joined: dict[RequestId, _Flight] = {}
        self._changing: dict[RequestId, str] = {}
        self._proposed: set[str] = set()

    # ---- from the client ---------------------------------------------------------------------------------------------

    async def from_client(self, message: JSONRPCMessage) -> None:
        """One message of the client."""
        if isinstance(message, JSONRPCRequest):
            if message.id in self._open or message.id in self._joined:
                await self._refuse(message.id, INVALID_REQUEST, f"request id {message.id!r} is in use")
                return
            if message.method == "tools/call":
                await self._called(message)
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

    async def _called(self, request: JSONRPCRequest) -> None:
        call = self._read(request)
        for method in self._changing.values():  # nothing is answered in between
            self._keeper.forget_all(f"{method} is under way")
        asked = self._keeper.ask(call)
        ticket = asked.ticket
        if ticket is None:
            await self._to_client(JSONRPCResponse(jsonrpc="2.0", id=request.id, result=json.loads(asked.value)))
            return
        leader = self._by_key.get(ticket.key) if ticket.key is not None and ticket.shared else None
        if leader is not None and ticket.began_s - leader.ticket.began_s < ticket.ttl_s:
            self._keeper.called_off(call, ticket)  # it has no way of its own
            leader.others[request.id] = (request, call)
            self._joined[request.id] = leader
            return
        self._keeper.goes(call, asked)
        await self._send(request, _Flight(request, call, ticket))

    async def _send(self, request: JSONRPCRequest, flight: _Flight) -> None:
        self._flights[request.id] = flight
        self._open[request.id] = request.method
        if flight.ticket.key is not None:
            self._by_key[flight.ticket.key] = flight
        await self._to_server(request)

    async def _refuse(self, request_id: RequestId, code: int, why: str) -> None:
        error = ErrorData(code=code, message=why)
        await self._to_client(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))

    def _read(self, request: JSONRPCRequest) -> ToolCall:
        """Who calls what. All that is sent along and may have a part in the result is its context."""
        params = request.params or {}
        meta = params.get("_meta")
        told = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
        name, arguments = params.get("name"), params.get("arguments")
        more = {key: value for key, value in params.items() if key not in ("name", "arguments", "_meta")}
        return ToolCall(
            tool=_text(name), arguments={} if arguments is None else arguments,
            agent=_text(told.get(AGENT)) or self._agent, session=_text(told.get(SESSION)), tenant=self._tenant,
            context=[{key: value for key, value in told.items() if key not in TRANSPORT_META}, more],
        )  # fmt: skip

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
        self._keeper.called_off(flight.call, flight.ticket)
        params = {**(notification.params or {}), "requestId": flight.request_id}
        await self._to_server(JSONRPCNotification(jsonrpc="2.0", method=notification.method, params=params))

    # ---- from the server ---------------------------------------------------------------------------------------------

    async def from_server(self, message: JSONRPCMessage) -> None:
        """One message of the server."""
        if isinstance(message, JSONRPCRequest) and message.method != "ping":
            for flight in self._flights.values():
                flight.plain = False
        if isinstance(message, JSONRPCNotification) and message.method in NEWS:
            self._keeper.forget_all(f"the server sent {message.method}")
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            method = self._open.pop(message.id, "")
            if (changed := self._changing.pop(message.id, "")) != "":
                self._keeper.forget_all(f"the server answered {changed}")
            if (flight := self._flights.pop(message.id, None)) is not None:
                await self._ended(flight, message)
                return
            if method == "tools/list" and isinstance(message, JSONRPCResponse):
                self._learn_tools(message.result)
        await self._to_client(message)

    async def _ended(self, flight: _Flight, message: JSONRPCResponse | JSONRPCError) -> None:
        self._land(flight)
        value = proof = None
        if isinstance(message, JSONRPCResponse) and flight.plain:
            value, proof = _kept_of(message.result)
        if flight.goes_on:
            self._keeper.called_off(flight.call, flight.ticket)
        else:
            self._keeper.answered(flight.call, flight.ticket, value, proof)
        if not flight.called_off:
            await self._to_client(message)
        took_s = self._keeper.clock() - flight.ticket.began_s
        for request_id, (request, call) in tuple(flight.others.items()):
            if self._joined.pop(request_id, None) is None:
                continue  # called off while the others were told
            if value is not None and isinstance(message, JSONRPCResponse):
                self._keeper.joined(call, took_s)
                await self._to_client(JSONRPCResponse(jsonrpc="2.0", id=request_id, result=message.result))
            else:  # an error is nobody's but its caller's
                await self._called(request)

    async def server_gone(self, why: str) -> None:
        """The server will not answer any more: say so to all who wait."""
        self._keeper.restart(why)
        waiting = [*self._open, *self._joined]
        self._open.clear()
        self._joined.clear()
        self._changing.clear()
        self._flights.clear()
        self._by_key.clear()
        for request_id in waiting:
            await self._refuse(request_id, SERVER_GONE, why)

    def _land(self, flight: _Flight) -> None:
        """Nobody can wait for it any more."""
        if flight.ticket.key is not None and self._by_key.get(flight.ticket.key) is flight:
            del self._by_key[flight.ticket.key]

    def _learn_tools(self, result: dict[str, Any]) -> None:
        """What the server says of its tools: a hint may propose a rule; a rule it contradicts does not hold."""
        tools = result.get("tools")
        for tool in cast("list[Any]", tools) if isinstance(tools, list) else []:
            if isinstance(tool, dict):
                self._learn_tool(cast("dict[str, Any]", tool))

    def _learn_tool(self, tool: dict[str, Any]) -> None:
        name, told = tool.get("name"), tool.get("annotations")
        hints = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        if not isinstance(name, str):
            return
        declared = self._keeper.policy.memory.rules.reader(name) is not None
        if declared and (hints.get("readOnlyHint") is False or hints.get("destructiveHint") is True):
            self._keeper.switch_off(name, "the server says that it changes things (readOnlyHint, destructiveHint)")
        elif not declared and hints.get("readOnlyHint") is True and name not in self._proposed:
            self._proposed.add(name)
            self._keeper.propose(name, "the server says that it only reads (readOnlyHint = true); declare it if so")


def _kept_of(result: dict[str, Any]) -> tuple[bytes | None, bytes | None]:
    """A result as it is kept, and what of it has to be the same each time; None, None if it must not be kept."""
    plain = result.get("isError", False) is False and result.get("resultType", "complete") == "complete"
    if not plain or not isinstance(result.get("content"), list):
        return None, None
    try:
        return json.dumps(result).encode(), canonical({key: part for key, part in result.items() if key != "_meta"})
    except NotCanonical:
        return None, None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
