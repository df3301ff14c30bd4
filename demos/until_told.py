"""Runs a demo until it is done or told to stop, and says in words what went wrong."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from radixdeck.daemon.loop import run

from .live import EXPECTED
from .progress import Progress


def run_until_told(name: str, story: Callable[[Progress], Coroutine[Any, Any, int]]) -> int:
    """Exit code: what the story returns, 2 if it could not run, 130 if it was stopped."""
    progress = Progress()
    try:
        return run(_until_told(story(progress)))
    except EXPECTED as error:
        progress.say(f"{name}: {error}")
        return 2
    except KeyboardInterrupt:
        progress.say(f"{name}: stopped; everything it started has ended, what was recorded is kept")
        return 130


async def _until_told(story: Coroutine[Any, Any, int]) -> int:
    """Ctrl-C and SIGTERM both cancel the story, which then cleans up."""
    task = asyncio.ensure_future(story)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
