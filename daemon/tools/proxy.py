"""`radixdeck mcp-proxy`: an MCP server on stdio that is another one, a command, with a memory of its read-only tools.

Both ends are the MCP SDK's own transports; between them the relay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import structlog
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage

from ..clock import now_ns
from ..paths import Paths
from ..rules_files import RulesFiles, read_rules_file
from ..wire import BrokerAddress
from .keeper import Keeper
from .relay import Relay
from .report import Report

MAX_LINE_BYTES = 64 << 20
GONE = "the MCP server behind radixdeck's proxy has ended"
STOPPED, SERVER_LOST, CANNOT_START = 0, 1, 2


async def serve(
    command: Sequence[str],
    rules: Path,
    *,
    agent: str = "",
    tenant: str = "default",
    node: str = "",
    broker: Callable[[], Awaitable[BrokerAddress]] | None = None,
    paths: Paths | None = None,
    say: Callable[[str], None],
) -> int:
    """Until the client hangs up (0) or the server ends (1). Raises RulesError, or OSError if the command cannot be run,
    in words."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it quotes what it cannot read, secrets included
    report = Report(say)
    keeper = Keeper(read_rules_file(rules), report.tell)
    files = RulesFiles({keeper.policy.name: str(rules)}, lambda _, text: keeper.policy.obey(text), report.tell, now_ns)
    async with AsyncExitStack() as stack:
        if broker is not None and paths is not None:
            from .node import Node

            # Standard output is the client's.
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
            known = Node(node, await broker(), paths, keeper, report)
            await stack.enter_async_context(known.running())
        files.look()
        looking = asyncio.create_task(files.run())
        try:
            return await _between(command, keeper, agent=agent, tenant=tenant, say=say)
        finally:
            looking.cancel()
            say(report.summary())


async def _between(
    command: Sequence[str], keeper: Keeper, *, agent: str, tenant: str, say: Callable[[str], None]
) -> int:
    upstream = StdioServerParameters(command=command[0], args=list(command[1:]), env=dict(os.environ))
    async with stdio_client(upstream) as (of_server, to_server), _stdio() as (of_client, to_client):

        async def tell_client(message: JSONRPCMessage) -> None:
            await to_client.send(SessionMessage(message))

        async def tell_server(message: JSONRPCMessage) -> None:
            with suppress(
                anyio.BrokenResourceError, anyio.ClosedResourceError
            ):  # its other pipe ends too: that is told
                await to_server.send(SessionMessage(message))

        relay = Relay(keeper, tell_client, tell_server, agent=agent, tenant=tenant)
        hung_up = asyncio.create_task(_pump(of_client, relay.from_client, "client", say))
        lost = asyncio.create_task(_pump(of_server, relay.from_server, "server", say))
        done, left = await asyncio.wait([hung_up, lost], return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in done:
            task.result()
        if hung_up in done:
            return STOPPED
        say(GONE)
        await relay.server_gone(GONE)
        return SERVER_LOST


@asynccontextmanager
async def _stdio() -> AsyncGenerator[tuple[Any, Any]]:
    """The client's messages and the way to it. The SDK's transport ends when both of its ends do."""
    lines = _Lines()
    await lines.open()
    async with stdio_server(stdin=cast("Any", lines)) as (of_client, to_client):
        try:
            yield of_client, to_client
        finally:
            lines.close()
            await of_client.aclose()
            await to_client.aclose()


async def _pump(
    source: Any, take: Callable[[JSONRPCMessage], Awaitable[None]], whose: str, say: Callable[[str], None]
) -> None:
    """Every message of one side; what is none is told and left out."""
    async for item in source:
        if isinstance(item, SessionMessage):
            await take(item.message)
        else:
            say(f"a line of the {whose} is no message of MCP and is left out ({type(item).__name__})")


class _Lines:
    """Standard input line by line, in a way that can be left while nothing comes."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        self._transport: asyncio.ReadTransport | None = None

    async def open(self) -> None:
        loop, reader = asyncio.get_running_loop(), self._reader
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def close(self) -> None:
        """No more lines."""
        if self._transport is not None:
            self._transport.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", errors="replace")
