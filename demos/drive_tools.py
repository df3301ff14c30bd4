"""The tools that a drive's sessions call between two requests: a real MCP server behind radixdeck's proxy.

The proxy is a node of the daemon that is asked, so that an operator's order about memoization reaches both. What a call
gave stands in the prompts that follow it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .mcp_behind import behind, said_by_proxy
from .memo_trace import Seen
from .spec import Message, Turn, WorkloadError

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

CALL_TIMEOUT_S = 60.0
SPREAD = 0.5
"""By so large a share may a run of a tool be shorter or longer. If all took the same, sessions that were answered
together would ask again together, in step for ever, and each would wait for the others."""
NOT_INSTALLED = "{} is not installed, and the drive calls tools: pip install 'radixdeck[mcp]'"


class ToolServer(msgspec.Struct, frozen=True, kw_only=True):
    """The store (`mcp_store`), whose tools take `tool_s` seconds on the mean, behind a proxy that is called `node` and
    belongs to the daemon of `home`. `folder`: holds what they write; `rules`: of memoization."""

    folder: str
    home: str
    node: str
    rules: str
    tool_s: float


class ToolFailed(Exception):
    """A call gave no result."""


class Tools:
    """Makes the calls of turns. The last message of a turn with a call is that of its result; it is filled in there and
    in all later turns of the session."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._results: dict[tuple[str, str], str] = {}

    async def call(self, turn: Turn) -> Seen:
        """Make the call that a turn begins with. Raises ToolFailed."""
        assert turn.call is not None
        began_s = time.perf_counter()
        meta: Any = {"radixdeck/agent": turn.agent, "radixdeck/session": turn.session}
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                told = await self._client.call_tool(turn.call.tool, dict(turn.call.arguments), meta=meta)
        except Exception as error:  # the SDK's, the transport's, a timeout: each is a call that failed
            raise ToolFailed(f"tool {turn.call.tool}: {type(error).__name__}: {error}") from error
        answer = _answer(turn.call.tool, told)
        seen = Seen(turn.agent, turn.call, began_s, time.perf_counter(), answer)
        self._results[turn.session, turn.messages[-1]["tool_call_id"]] = _text(answer)
        return seen

    def filled(self, turn: Turn) -> Turn:
        """The turn with the results of its session's calls in it."""
        messages = [self._filled(turn.session, message) for message in turn.messages]
        return msgspec.structs.replace(turn, messages=messages)

    def _filled(self, session: str, message: Message) -> Message:
        result = self._results.get((session, message.get("tool_call_id", "")))
        return message if result is None else message | {"content": result}


class _Result(msgspec.Struct):
    """What the store's tools give."""

    result: str | list[str]


def _answer(tool: str, told: CallToolResult) -> str | list[str]:
    """Raises ToolFailed for an error and for what the store does not say."""
    if told.is_error:
        raise ToolFailed(f"tool {tool}: {str(told.content)[:200]}")
    try:
        return msgspec.convert(told.structured_content, _Result).result
    except msgspec.ValidationError as error:
        raise ToolFailed(f"tool {tool}: {error}") from error


def _text(answer: str | list[str]) -> str:
    return answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()


def check_calls(turns: list[Turn], server: ToolServer | None) -> None:
    """Raises WorkloadError for a call that nobody can make or whose result has no place."""
    for number, turn in enumerate(turns):
        if turn.call is None:
            continue
        if server is None:
            raise WorkloadError(f"turn {number} calls {turn.call.tool}, and the plan names no server of tools")
        if not turn.messages or not isinstance(turn.messages[-1].get("tool_call_id"), str):
            raise WorkloadError(f"turn {number} calls {turn.call.tool}, and its last message is not that of the result")


@asynccontextmanager
async def open_tools(server: ToolServer) -> AsyncGenerator[Tools]:
    """A fresh server and proxy for the length of the block. Raises WorkloadError if they do not come to life."""
    folder, told = Path(server.folder), (str(server.tool_s), str(SPREAD))
    options = ("--broker", "local", "--home", server.home, "--node", server.node)
    async with AsyncExitStack() as stack:
        opened = behind(server.rules, folder, "radixdeck.demos.mcp_store", *told, options=options)
        try:
            client = await stack.enter_async_context(opened)
        except ModuleNotFoundError as error:
            raise WorkloadError(NOT_INSTALLED.format(error.name)) from error
        except Exception as error:  # whatever the SDK makes of a process that ended
            said = " ".join(said_by_proxy(folder)[-1:])
            raise WorkloadError(f"no server of tools: {said or error}") from error
        yield Tools(client)
