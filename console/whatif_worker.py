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
        told = entry.status.recording if entry.status else ""
        path = self._recording or (Path(told) if told else None)
        if path is None:
            return None, "this run is not recorded: there is nothing to run again"
        if path not in self._known:
            if not path.is_file():
                return None, f"the recording is on another machine: {path}; copy it here and replay it"
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
            try:
                await asyncio.to_thread(self._under_way.run, case)
            finally:
                self._under_way = None

    def stop(self) -> None:
        """End the run under way and forget the queue."""
        self._waiting.clear()
        if self._under_way is not None:
            self._under_way.stop()
