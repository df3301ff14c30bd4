"""`python -m radixdeck.demos.mcp_files LOG [SCALE]`: an MCP server on stdio with files to look through, made up by
name, whose tools take as long as such tools do (times SCALE). Each run of a tool leaves its name in LOG."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

TOOLS_S = {"list_dir": 0.05, "read_file": 0.15, "search": 0.3, "blame": 0.2, "edit": 0.1}
"""How long each tool takes, give or take a fifth."""


class Hit(BaseModel):
    """Where a text was found."""

    path: str
    line: int


class Files:
    """`edits`: how often each file was changed."""

    def __init__(self, log: Path, scale: float) -> None:
        self.edits: Counter[str] = Counter()
        self._log, self._scale = log, scale

    async def ran(self, tool: str, about: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{tool}\n")
        await asyncio.sleep(TOOLS_S[tool] * self._scale * random.Random(f"{tool} {about}").uniform(0.8, 1.2))


def names_in(folder: str) -> list[str]:
    """The files of a folder: three to eight."""
    return [f"{folder}/{n}.py" for n in range(random.Random(folder).randint(3, 8))]


def hits_of(text: str) -> list[Hit]:
    """Where a text is found: in two to five files."""
    chance = random.Random(text)
    found = (f"dir-{chance.randrange(60)}/{n}.py" for n in range(chance.randint(2, 5)))
    return [Hit(path=path, line=chance.randint(1, 400)) for path in found]


def build(log: Path, scale: float) -> MCPServer[Any]:
    """The server; nothing was changed yet."""
    server: MCPServer[Any] = MCPServer("files")
    files = Files(log, scale)

    async def list_dir(folder: str) -> list[str]:
        """The files of a folder."""
        await files.ran("list_dir", folder)
        return names_in(folder)

    async def read_file(path: str) -> str:
        """What a file holds: as it was when that began."""
        edits = files.edits[path]
        await files.ran("read_file", path)
        return f"{edits} edits of {path}"

    async def search(text: str) -> list[Hit]:
        """Where a text is found."""
        await files.ran("search", text)
        return hits_of(text)

    async def blame(path: str) -> str:
        """Who changed a file: nobody that reads it."""
        await files.ran("blame", path)
        return f"somebody changed {path}"

    async def edit(path: str) -> str:
        """Change a file, at the end of the time that this takes."""
        await files.ran("edit", path)
        files.edits[path] += 1
        return "done"

    for tool in (list_dir, read_file, search, blame, edit):
        server.tool()(tool)
    return server


if __name__ == "__main__":
    build(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0).run()
