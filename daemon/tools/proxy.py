"""`radixdeck mcp-proxy`: an MCP server on stdio that is another one, a command or a URL, with a memory of its read-only
tools.

Both ends are the MCP SDK's own transports; between them the relay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import structlog
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage

from radixdeck.policies.identity.declared import scoped
from radixdeck.policies.memoization import Memoization
from radixdeck.policies.safety import Safety

from ..clock import now_ns
from ..paths import Paths
from ..rules_files import RulesFiles, checked_rules, read_rules_file
from ..wire import BrokerAddress
from .keeper import Keeper
from .relay import Relay
from .report import Report
from .upstream import Upstream, streams_of

MAX_LINE_BYTES = 64 << 20
GONE = "the MCP server behind radixdeck's proxy has ended"
UNREAD = "the client does not read any more"
TOO_LONG = f"a line of the client is longer than {MAX_LINE_BYTES >> 20} MiB: radixdeck's proxy ends"
UNHEARD = "the broker does not answer: who is quarantined there is not known, and until it does their calls pass"
STOPPED, SERVER_LOST, CANNOT_START, CANNOT_READ = 0, 1, 2, 3


async def serve(
    upstream: Upstream,
    rules: Path,
    *,
    safety_rules: Path | None = None,
    agent: str = "",
    tenant: str = "default",
    node: str = "",
    returns: bool = False,
    broker: Callable[[], Awaitable[BrokerAddress]] | None = None,
    paths: Paths | None = None,
    say: Callable[[str], None],
) -> int:
    """Until the client hangs up or a signal says so (0), the server ends (1), or a line of the client is too long (3).
    `returns`: see Node. Raises RulesError naming the file, or OSError if the command cannot be run, in words."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it quotes what it cannot read, secrets included
    report = Report(say)
    keeper, files = _ruled(rules, safety_rules, report)
    address = await broker() if broker is not None else None
    async with AsyncExitStack() as stack:
        signalled = stack.enter_context(_signals())
        if address is not None and paths is not None:
            from .node import Node

            # Standard output is the client's.
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
            known = Node(node, address, paths, keeper, report, agent=scoped(agent, tenant), returns=returns)
            await stack.enter_async_context(known.running())
            if not known.heard:
                say(UNHEARD)
        files.look()
        looking = asyncio.create_task(files.run())
        try:
            return await _between(upstream, keeper, signalled, agent=agent, tenant=tenant, say=say)
        except* BrokenPipeError:
            say(UNREAD)
        finally:
            looking.cancel()
            say(report.summary())
    return STOPPED


def _ruled(rules: Path, safety_rules: Path | None, report: Report) -> tuple[Keeper, RulesFiles]:
    """Both policies with their rules, which are read again when they change. Raises RulesError naming the file."""
    files = {Memoization.name: str(rules)} | ({Safety.name: str(safety_rules)} if safety_rules is not None else {})
    checked_rules(files)
    keeper = Keeper(read_rules_file(rules), report.tell)
    if safety_rules is not None:
        keeper.obey(Safety.name, read_rules_file(safety_rules))
    return keeper, RulesFiles(files, keeper.obey, report.tell, now_ns)


@contextmanager
def _signals() -> Generator[asyncio.Event]:
    """Set once the process is told to end. The server is in a session of its own: nobody but the proxy ends it."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _between(
    upstream: Upstream,
    keeper: Keeper,
    signalled: asyncio.Event,
    *,
    agent: str,
    tenant: str,
    say: Callable[[str], None],
) -> int:
    lines = _Lines()
    async with streams_of(upstream) as (of_server, to_server, envelope), _stdio(lines) as (of_client, to_client):
        ways = _way(to_client), _way(to_server, envelope)
        relay = Relay(keeper, *ways, agent=agent, tenant=tenant, may_go_on=upstream.may_go_on)
        hung_up = asyncio.create_task(_pump(of_client, relay.from_client, "client", say))
        lost = asyncio.create_task(_pump(of_server, relay.from_server, "server", say))
        stop = asyncio.create_task(signalled.wait())
        tasks = (hung_up, lost, stop)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        if stop in done or (hung_up in done and not lines.too_long):
            return STOPPED
        code, why = (CANNOT_READ, TOO_LONG) if lines.too_long else (SERVER_LOST, GONE)
        say(why)
        await relay.server_gone(why)
        return code


def _way(
    stream: Any, envelope: Callable[[JSONRPCMessage], SessionMessage] = SessionMessage
) -> Callable[[JSONRPCMessage], Awaitable[None]]:
    """To one side. That it does not listen any more is told by its other pipe, or by the transport."""

    async def send(message: JSONRPCMessage) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.send(envelope(message))

    return send


@asynccontextmanager
async def _stdio(lines: _Lines) -> AsyncGenerator[tuple[Any, Any]]:
    """The client's messages and the way to it. The SDK's transport ends when both of its ends do."""
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
    """Standard input line by line, in a way that can be left while nothing comes. It ends at a line that is `too_long`:
    what comes behind is no message. A file is a client that has said everything and hung up."""

    def __init__(self) -> None:
        self.too_long = False
        self._reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        self._transport: asyncio.ReadTransport | None = None

    async def open(self) -> None:
        loop, reader = asyncio.get_running_loop(), self._reader
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):  # asyncio waits for no other kind
            reader.feed_data(sys.stdin.buffer.read())
            reader.feed_eof()
            return
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def close(self) -> None:
        """No more lines."""
        if self._transport is not None:
            self._transport.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            while line := await self._reader.readline():
                yield line.decode("utf-8", errors="replace")
        except ValueError:
            self.too_long = True
