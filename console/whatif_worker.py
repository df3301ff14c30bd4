"""Runs what-ifs of the console one after the other, and keeps those of every recording looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import Worker, WorkerError

from .fleet_state import NodeState
from .whatif_case import Case
from .whatif_runs import WhatIfs
from .words import printable

if TYPE_CHECKING:
    from .app import ConsoleApp


class WhatIfWorker:
    """`recording`: that of a replay; None for a live console, where every daemon has its own."""

    def __init__(self, recording: Path | None) -> None:
        self._recording = recording
        self._known: dict[Path, WhatIfs] = {}
        self._waiting: list[tuple[WhatIfs, Case]] = []
        self._worker: Worker[None] | None = None
        self._busy = False

    def of(self, entry: NodeState) -> tuple[WhatIfs | None, str]:
        """The what-ifs of the recording of a daemon's run, or None and why there are none."""
        path, why = recording_of(self._recording, entry)
        if path is None:
            return None, why
        if path not in self._known:
            self._known[path] = WhatIfs(path)
        return self._known[path], ""

    def want(self, app: ConsoleApp, runs: WhatIfs, cases: list[Case]) -> None:
        """Queue some runs, and begin with them unless others are under way."""
        under_way = runs.running if self._busy else None
        queued = [(runs, case) for case in cases if (runs, case) not in self._waiting and under_way != case]
        self._waiting += queued
        if queued and not self._busy:
            self._busy = True
            self._worker = app.run_worker(self._work(self._worker), group="whatif")

    def stop(self) -> None:
        """End the run under way and forget the queue."""
        self._waiting.clear()
        self._busy = False
        if self._worker is not None:
            self._worker.cancel()

    async def end(self) -> None:
        """Stop, and wait until the process under way is gone."""
        self.stop()
        await gone(self._worker)

    async def _work(self, before: Worker[None] | None) -> None:
        """Run what is queued until nothing is. `before`: one that was stopped and may be clearing up."""
        await gone(before)
        while self._waiting:
            runs = self._waiting[0][0]
            await runs.run(self._queued(runs))
        self._busy = False

    def _queued(self, runs: WhatIfs) -> Iterator[Case]:
        """Those of one recording that are next, also those that are queued meanwhile."""
        while self._waiting and self._waiting[0][0] is runs:
            yield self._waiting.pop(0)[1]


async def gone(worker: Worker[None] | None) -> None:
    """Wait until a worker has ended, however it did."""
    if worker is not None:
        with contextlib.suppress(WorkerError):
            await worker.wait()


def recording_of(replayed: Path | None, entry: NodeState) -> tuple[Path | None, str]:
    """The recording of a daemon's run: the one that is replayed, or where the daemon says that it writes; or None and
    why there is none to read."""
    said = entry.status.recording if entry.status else ""
    path = replayed or (Path(said) if said else None)
    if path is None:
        told = "says that it does not record this run" if entry.status else "has not said yet where it records"
        return None, f"{entry.node} {told}, and this needs the file"
    try:
        here = path.is_file()
    except OSError as error:
        return None, printable(f"the recording cannot be read from here: {path}: {error.strerror}")
    return (path, "") if here else (None, printable(_elsewhere(path, entry.node)))


def _elsewhere(path: Path, node: str) -> str:
    """What to do about a recording that is not on this machine. Where `radixdeck` lies here says nothing there."""
    return (
        "the recording is not on this machine, and this needs the file: run the console on the daemon's (ssh -t "
        f"MACHINE radixdeck console --node {node}), or copy it here and replay it (radixdeck replay FILE): {path}"
    )
