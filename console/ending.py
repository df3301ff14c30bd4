"""Runs the console so that it puts its things away also when its terminal closes, or when it is ended from outside."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import ConsoleApp

ENDINGS = (signal.SIGHUP, signal.SIGTERM)
PATIENCE_S = 10
"""A terminal that is gone may hold up what is still written to it; then it ends all the same."""


def run(app: ConsoleApp) -> int:
    """Run it to its end. Returns the exit code, for a signal the usual one."""
    asyncio.run(_run(app))
    signal.alarm(0)
    return app.return_code or 0


async def _run(app: ConsoleApp) -> None:
    loop = asyncio.get_running_loop()
    for number in ENDINGS:
        # Whoever started it with nohup wants it to stay.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, _end, app, number)
    await app.run_async()


def _end(app: ConsoleApp, number: int) -> None:
    signal.alarm(PATIENCE_S)
    app.exit(return_code=128 + number)
