"""Runs what-ifs of the console in one thread, one after the other, and keeps those of every recording looked at."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .fleet_state import NodeState
from .whatif_runs import Case, WhatIfs


class WhatIfWorker:
    """`recording`: that of a replay; None for a live console, where every daemon has its own."""

    def __init__(self, recording: Path | None) -> None:
        self._recording = recording
        self._known: dict[Path, WhatIfs] = {}
        self._waiting: list[tuple[WhatIfs, Case]] = []
        self._under_way: WhatIfs | None = None

    def of(self, entry: NodeState) -> tuple[WhatIfs | None, str]:
        """The what-ifs of the recording of a daemon's run, or None and why there are none."""
        path, why = recording_of(self._recording, entry)
        if path is None:
            return None, why
        if path not in self._known:
            self._known[path] = WhatIfs(path)
        return self._known[path], ""

    def want(self, runs: WhatIfs, cases: list[Case]) -> bool:
        """Queue some runs; whether `work` has to be started for them."""
        idle = not self._waiting and self._under_way is None
        queued = [(runs, case) for case in cases if (runs, case) not in self._waiting and runs.running != case]
        self._waiting += queued
        return idle and bool(queued)

    async def work(self) -> None:
        """Run what is queued until nothing is."""
        while self._waiting:
            self._under_way, case = self._waiting.pop(0)
            # Here and not in the thread: it may be stopped before its thread has begun.
            self._under_way.allow()
            try:
                await asyncio.to_thread(self._under_way.run, case)
            finally:
                self._under_way = None

    def stop(self) -> None:
        """End the run under way and forget the queue."""
        self._waiting.clear()
        if self._under_way is not None:
            self._under_way.stop()


def recording_of(replayed: Path | None, entry: NodeState) -> tuple[Path | None, str]:
    """The recording of a daemon's run: the one that is replayed, or where the daemon says that it writes; or None and
    why there is none to read."""
    told = entry.status.recording if entry.status else ""
    path = replayed or (Path(told) if told else None)
    if path is None:
        return None, "this run is not recorded: there is nothing to run again"
    if not path.is_file():
        return None, f"the recording is on another machine: {path}; copy it here and replay it"
    return path, ""
