"""Keeps at most one shadow per recording and lets it follow the console in a thread, resting between slices."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .fleet_state import NodeState
from .shadow_run import EVERYTHING, Choice, Shadow
from .whatif_worker import recording_of

if TYPE_CHECKING:
    from .app import ConsoleApp

REST = 3.0
"""After a slice so many times what it took passes: a shadow never takes more than a quarter of a core."""
IDLE_S = 0.25


class ShadowWorker:
    """`recording`: that of a replay; None for a live console, where every daemon has its own."""

    def __init__(self, recording: Path | None) -> None:
        self._recording = recording
        self._shadow: Shadow | None = None
        self._node = ""
        self._wanted = 0

    def of(self, entry: NodeState) -> tuple[Shadow | None, str]:
        """The shadow of a daemon's run, or None and why there is none."""
        path, why = recording_of(self._recording, entry)
        if path is None:
            return None, why
        if self._shadow is None or self._shadow.path != path:
            return None, "no shadow runs"
        return self._shadow, ""

    def want(self, app: ConsoleApp, entry: NodeState, choice: Choice) -> None:
        """Run that one instead of what runs now, unless it is the same."""
        path, _ = recording_of(self._recording, entry)
        now = self._shadow
        if path is None or (now is not None and (now.path, now.choice) == (path, choice)):
            return
        self.stop()
        self._shadow, self._node = Shadow(path, choice), entry.node
        self._wanted += 1
        app.run_worker(self._follow(app, self._shadow, self._wanted), group="shadow")

    def stop(self) -> None:
        """End it; its thread lets go of the recording after the slice under way."""
        self._shadow = None
        self._wanted += 1

    async def _follow(self, app: ConsoleApp, shadow: Shadow, number: int) -> None:
        try:
            while number == self._wanted:
                began_s = time.perf_counter()
                more = await asyncio.to_thread(shadow.step, self._target(app))
                rest_s = REST * (time.perf_counter() - began_s)
                await asyncio.sleep(rest_s if more else max(rest_s, IDLE_S))
        finally:
            shadow.close()

    def _target(self, app: ConsoleApp) -> int:
        """A replay is followed to the moment it stands at, a live run to the end of what is recorded."""
        entry = app.fleet.nodes.get(self._node)
        return entry.seq if app.replay is not None and entry is not None else EVERYTHING
