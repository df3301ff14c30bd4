"""Gives this terminal to the console, a child process, and takes it back in good order however the child ends."""

from __future__ import annotations

import asyncio
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .progress import Progress

LEAVE_SCREEN = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[<u"
"""Back to the ordinary screen, visible cursor, no mouse reports, no bracketed paste, ordinary keys."""


@asynccontextmanager
async def console_on_screen(node: str, home: str, progress: Progress) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The console on `node`, for the length of the block or until the user leaves it; `progress` is quiet meanwhile."""
    command = [sys.executable, "-m", "radixdeck.console.cli", "console", "--node", node]
    before = termios.tcgetattr(sys.stdin)
    progress.quiet = True
    child = await asyncio.create_subprocess_exec(*command, *(["--home", home] if home else []))
    watching = asyncio.create_task(_speak_when_gone(child, progress))
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        if await child.wait() != 0:
            print(LEAVE_SCREEN, end="", flush=True)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        await watching


async def _speak_when_gone(child: asyncio.subprocess.Process, progress: Progress) -> None:
    await child.wait()
    progress.quiet = False
