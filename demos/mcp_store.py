"""`python -m radixdeck.demos.mcp_store LOG [DELAY_S [SPREAD]]`: an MCP server on stdio with a store that its tools read
and change, and one tool that says the time. Each run of a tool takes DELAY_S, give or take that share of it (SPREAD),
and leaves its name in LOG, so that whoever looks there sees what was really called."""

from __future__ import annotations

import asyncio
import os
import random
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


class Store:
    """What the tools are about. `ran`: they all take their time, and leave a mark."""

    def __init__(self, log: Path, delay_s: float, spread: float) -> None:
        self.notes: dict[str, str] = {}
        self._log, self._delay_s, self._spread = log, delay_s, spread
        self._chance = random.Random(0)

    async def ran(self, tool: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{tool}\n")
        await self.take_time()

    async def take_time(self) -> None:
        await asyncio.sleep(self._delay_s * self._chance.uniform(1 - self._spread, 1 + self._spread))


def build(log: Path, delay_s: float = 0.0, spread: float = 0.0) -> MCPServer[Any]:
    """The server; its store begins empty."""
    server: MCPServer[Any] = MCPServer("store")
    store = Store(log, delay_s, spread)
    _add_notes(server, store)
    _add_oddities(server, store)
    return server


def _add_notes(server: MCPServer[Any], store: Store) -> None:
    """What reads and changes the notes."""

    async def get(key: str) -> str:
        """What is stored under a key."""
        await store.ran("get")
        return store.notes.get(key, "nothing")

    async def search(text: str) -> list[str]:
        """The keys whose values hold a text."""
        await store.ran("search")
        return sorted(key for key, value in store.notes.items() if text in value)

    async def put(key: str, value: str) -> str:
        """Store a value, in the middle of the time that this takes."""
        await store.ran("put")
        store.notes[key] = value
        await store.take_time()
        return "stored"

    def about() -> str:
        """A resource, to see that it passes."""
        return "a store"

    server.tool(annotations=READS)(get)
    server.tool(annotations=READS)(search)
    server.tool(annotations=CHANGES)(put)
    server.resource("store://about")(about)


def _add_oddities(server: MCPServer[Any], store: Store) -> None:
    """What nobody should answer from memory."""

    async def clock() -> str:
        """The time."""
        await store.ran("clock")
        return str(time.monotonic_ns())

    async def fails() -> str:
        """Raises."""
        await store.ran("fails")
        raise ValueError("as it always does")

    async def asks(context: Context[Any, Any], key: str) -> str:
        """What a person says."""
        await store.ran("asks")
        answer = await context.elicit(f"sure about {key}?", Approval)
        return str(answer.action)

    async def crash() -> str:
        """Ends the server without a word."""
        await store.ran("crash")
        os._exit(3)

    for tool in (clock, fails, asks, crash):
        server.tool()(tool)


if __name__ == "__main__":
    build(Path(sys.argv[1]), *map(float, sys.argv[2:])).run()
