"""Runs the driver (`drive.py`) in a child process and hands its outcomes over as they come."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec

from .drive import Outcome, Plan


class DriveError(RuntimeError):
    """The driver could not do its work. The message carries its own last words."""


class Drive(msgspec.Struct, frozen=True):
    """Every turn's outcome in list order, and the time from the first request to the last answer, seconds."""

    outcomes: list[Outcome]
    wall_s: float


async def drive_apart(plan: Plan, base_url: str, on_outcome: Callable[[Outcome], None]) -> Drive:
    """Drive `plan` from a child process. Cancelling this stops the child. Raises DriveError if the child fails."""
    outcomes: list[Outcome] = []
    async with aclosing(_child_lines(plan, base_url)) as lines:
        async for line in lines:
            outcomes.append(msgspec.json.decode(line, type=Outcome))
            on_outcome(outcomes[-1])
    return drive_of(outcomes)


def drive_of(outcomes: Sequence[Outcome]) -> Drive:
    begun_s = min((o.start_s for o in outcomes), default=0.0)
    ended_s = max((o.start_s + o.latency_s for o in outcomes), default=0.0)
    return Drive(sorted(outcomes, key=lambda o: o.index), ended_s - begun_s)


async def _child_lines(plan: Plan, base_url: str) -> AsyncGenerator[bytes]:
    """What the driver prints, line by line. Raises DriveError if it fails; closing this stops it."""
    with tempfile.TemporaryDirectory(prefix="radixdeck-drive-") as folder:
        path = Path(folder) / "plan.json"
        path.write_bytes(msgspec.json.encode(plan))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "radixdeck.demos.drive", "--base-url", base_url, "--plan", str(path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            words = asyncio.create_task(child.stderr.read())
            async for line in child.stdout:
                yield line
            if await child.wait() != 0:
                raise DriveError(
                    (await words).decode(errors="replace").strip() or f"driver ended with {child.returncode}"
                )
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
                await child.wait()
