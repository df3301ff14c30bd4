"""The processes of an engine, and which are still there."""

from __future__ import annotations

import asyncio
import contextlib

import psutil

from radixdeck.daemon.engine.launch import Engine


def family_of(engine: Engine) -> dict[str, psutil.Process]:
    """Its processes by name."""
    main = psutil.Process(engine.status.pid)
    titles = {child.cmdline()[0]: child for child in main.children(recursive=True)}
    return {"main": main, **{name.removeprefix("sglang::"): child for name, child in titles.items()}}


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def gone(processes: list[psutil.Process], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while left := [process for process in processes if alive(process)]:
            await asyncio.to_thread(psutil.wait_procs, left, 0.2)
