"""`python -m radixdeck.demos.mcp_store LOG [DELAY_S]`: an MCP server on stdio with a store that its tools read and
change, and one tool that says the time. Each run of a tool takes DELAY_S and leaves its name in LOG, so that whoever
looks there sees what was really called."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

READS = ToolAnnotations(read_only_hint=True)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True)


class Approval(BaseModel):
    """What a person is asked for."""

    sure: bool


def build(log: Path, delay_s: float) -> MCPServer[Any]:
    """The server; its store begins empty."""
    server: MCPServer[Any] = MCPServer("store")
    store: dict[str, str] = {}

    async def ran(tool: str) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{tool}\n")
        await asyncio.sleep(delay_s)

    @server.tool(annotations=READS)
    async def get(key: str) -> str:
        """What is stored under a key."""
        await ran("get")
        return store.get(key, "nothing")

    @server.tool(annotations=READS)
    async def search(text: str) -> list[str]:
        """The keys whose values hold a text."""
        await ran("search")
        return sorted(key for key, value in store.items() if text in value)

    @server.tool(annotations=CHANGES)
    async def put(key: str, value: str) -> str:
        """Store a value, in the middle of the time that this takes."""
        await ran("put")
        store[key] = value
        await asyncio.sleep(delay_s)
        return "stored"

    @server.tool()
    async def clock() -> str:
        """The time: what no rule should call read-only for longer than a moment."""
        await ran("clock")
        return str(time.monotonic_ns())

    @server.tool()
    async def fails() -> str:
        """Raises."""
        await ran("fails")
        raise ValueError("as it always does")

    @server.tool()
    async def asks(context: Context[Any, Any], key: str) -> str:
        """What a person says."""
        await ran("asks")
        answer = await context.elicit(f"sure about {key}?", Approval)
        return str(answer.action)

    @server.tool()
    async def crash() -> str:
        """Ends the server without a word."""
        await ran("crash")
        os._exit(3)

    @server.resource("store://about")
    def about() -> str:
        """A resource, to see that it passes."""
        return "a store"

    _ = (get, search, put, clock, fails, asks, crash, about)
    return server


if __name__ == "__main__":
    build(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0).run()
