"""A client of an MCP server in a process of its own, straight or behind radixdeck's proxy, over real pipes; and how a
benchmark with such clients ends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mcp import Client

    from .progress import Progress

T = TypeVar("T")
LOG = "log"


@asynccontextmanager
async def behind(
    rules: str | None, folder: Path, module: str, *arguments: str, options: Sequence[str] = ()
) -> AsyncGenerator[Client]:
    """A client of a fresh server, which is a Python module that is told where to write down what runs; behind the proxy
    with these rules, if there are any, and other `options`. Needs the MCP SDK; what the processes say is kept in the
    folder."""
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    words = ["-m", module, str(folder / LOG), *arguments]
    if rules is not None:
        (folder / "rules.toml").write_text(rules, encoding="utf-8")
        proxy = ["-m", "radixdeck.console.cli", "mcp-proxy", "--rules", str(folder / "rules.toml"), *options, "--"]
        words = [*proxy, sys.executable, *words]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    with (folder / "said").open("w", encoding="utf-8") as said:
        async with Client(stdio_client(server, errlog=said)) as client:
            await client.list_tools()
            yield client


def said_by_proxy(folder: Path) -> list[str]:
    """What the proxy of that folder told its log."""
    return [line for line in (folder / "said").read_text().splitlines() if line.startswith("radixdeck")]


def runs_of_tools(folder: Path) -> int:
    """How often a tool ran, as the server of that folder wrote it down."""
    log = folder / LOG
    return len(log.read_text(encoding="utf-8").split()) if log.exists() else 0


def run_whole(work: Coroutine[Any, Any, T], conclude: Callable[[T], bool], progress: Progress) -> int:
    """Run a benchmark that counts as a whole or not at all, then `conclude`: record and print it, and say whether all
    of it holds.

    Exit codes: 0 all of it holds, 1 not, 2 could not run, 130 stopped.
    """
    try:
        found = asyncio.run(work)
    except ModuleNotFoundError as error:
        progress.say(f"bench: {error.name} is not installed: pip install 'radixdeck[mcp]'")
        return 2
    except KeyboardInterrupt:
        progress.say("bench: stopped, nothing recorded")
        return 130
    return 0 if conclude(found) else 1
