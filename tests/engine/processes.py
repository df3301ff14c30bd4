"""Which processes of an engine are still there."""

from __future__ import annotations

import asyncio
import contextlib

import psutil


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def gone(processes: list[psutil.Process], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while left := [process for process in processes if alive(process)]:
            await asyncio.to_thread(psutil.wait_procs, left, 0.2)
