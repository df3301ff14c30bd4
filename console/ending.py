"""Runs the console so that it puts its things away also when its terminal closes, or when it is ended from outside."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from .app import ConsoleApp

ENDINGS = (signal.SIGHUP, signal.SIGTERM)
PATIENCE_S = 10
"""A terminal that is gone may hold up what is still written to it, or a thread; then it ends all the same."""


def run(app: ConsoleApp) -> int:
    """Run it to its end. Returns the exit code, for a signal the usual one."""
    # Whoever started it with nohup wants it to stay.
    before = {number: signal.getsignal(number) for number in ENDINGS}
    heeded = [number for number in ENDINGS if before[number] is not signal.SIG_IGN]
    try:
        asyncio.run(_run(app, heeded))
    finally:
        for number in heeded:
            signal.signal(number, before[number])
    return app.return_code or 0


async def _run(app: ConsoleApp, heeded: list[signal.Signals]) -> None:
    """The handlers are the interpreter's, not the loop's: with SIGHUP comes a SIGCONT, at which Textual would start a
    second thread that reads keys and forget the first, which might never end."""
    loop = asyncio.get_running_loop()

    def end(number: int, _: object) -> None:
        signal.alarm(PATIENCE_S)
        if number == signal.SIGHUP:
            signal.signal(signal.SIGCONT, _go_on)
            _write_nowhere()
        loop.call_soon_threadsafe(partial(app.exit, return_code=128 + number))

    for number in heeded:
        signal.signal(number, end)
    await app.run_async()


def _go_on(number: int, frame: FrameType | None) -> None:
    """Nothing to do at SIGCONT."""


def _write_nowhere() -> None:
    """Nobody reads any more, and no write may fail for that."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for terminal in (0, 1, 2):
        os.dup2(nowhere, terminal)
    os.close(nowhere)
