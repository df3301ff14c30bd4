"""A relay between a client and a server that a test plays; needs the MCP SDK's types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from radixdeck.daemon.tools.keeper import Keeper
from radixdeck.daemon.tools.messages import AGENT
from radixdeck.daemon.tools.relay import Relay
from radixdeck.policies.events import ToolMemoized
from radixdeck.policies.tools.calls import Ticket

RULES = """
[tools.get]
read_only = true
ttl_s = 10
[tools.team]
read_only = true
ttl_s = 10
scope = "tenant"
"""


class Sides:
    """Client and server. `up`: ids of what the server got to see; `down`: what the client got, by id."""

    def __init__(self, trials: int = 0, rules: str = RULES, *, may_go_on: bool = False) -> None:
        self.now_s = 0.0
        self.facts: list[ToolMemoized] = []
        self.up: list[JSONRPCMessage] = []
        self.down: list[JSONRPCMessage] = []
        self.keeper = Keeper(rules, self.facts.append, {"trials": trials}, lambda: self.now_s)
        self.relay = Relay(self.keeper, self._down, self._up, agent="coder", tenant="t", may_go_on=may_go_on)
        self.number = 0
        self.while_asking: Callable[[], Awaitable[None]] | None = None

    async def _up(self, message: JSONRPCMessage) -> None:
        self.up.append(message)
        if (meanwhile := self.while_asking) is not None:
            self.while_asking = None
            await meanwhile()

    async def _down(self, message: JSONRPCMessage) -> None:
        self.down.append(message)

    async def call(self, tool: str = "get", agent: str = "", **more: Any) -> int:
        self.number += 1
        params: dict[str, Any] = {"name": tool, "arguments": {"k": 1}, "_meta": {"progressToken": self.number}, **more}
        if agent:
            params["_meta"][AGENT] = agent
        await self.relay.from_client(
            JSONRPCRequest(jsonrpc="2.0", id=self.number, method="tools/call", params=params)
        )  # fmt: skip
        return self.number

    async def says(self, request_id: int | str, text: str = "x", **more: Any) -> None:
        result = {"content": [{"type": "text", "text": text}], **more}
        await self.relay.from_server(JSONRPCResponse(jsonrpc="2.0", id=request_id, result=result))

    async def tells(self, method: str, *, to_server: bool = False, **params: Any) -> None:
        message = JSONRPCNotification(jsonrpc="2.0", method=method, params=params)
        await (self.relay.from_client(message) if to_server else self.relay.from_server(message))

    async def whole(self, tool: str = "get", text: str = "x", **more: Any) -> bool:
        """A call, and its answer if the server is asked. Returns whether it was."""
        before = len(self.up)
        request_id = await self.call(tool, **more)
        if asked := len(self.up) > before:
            await self.says(request_id, text)
        return asked

    def got(self) -> dict[Any, str]:
        """What each request of the client got, in words."""
        return {
            message.id: message.result["content"][0]["text"] if isinstance(message, JSONRPCResponse) else "error"
            for message in self.down
            if isinstance(message, JSONRPCResponse | JSONRPCError)
        }

    def under_way(self) -> dict[int, Ticket]:
        return self.keeper.policy.memory.under_way

    def did(self) -> list[str]:
        return [fact.what for fact in self.facts]
