"""Keeps at most one shadow per recording, in a process of its own that follows what the console follows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import Worker

from radixdeck.storage.beside import BesideView

from .aside import Aside, AsideError
from .fleet_state import NodeState
from .shadow_child import MODULE, ShadowTask, Stepped
from .shadow_run import EVERYTHING, Choice
from .whatif_worker import gone, recording_of

if TYPE_CHECKING:
    from .app import ConsoleApp

IDLE_S = 0.25
CURVE_IDLE_S = 1.0
"""Between two looks at a recording that has been read to its end; the curve alone moves slowly."""


@dataclass(eq=False)
class Followed:
    """A shadow as the screens see it. `words`: how far it has come; `trouble`: why it cannot go on now, or '';
    `settled`: it has read all there is; `pid`: of its process, 0 without one; `died`: that ended before it was told
    to."""

    path: Path
    choice: Choice
    view: BesideView | None = None
    words: str = "beginning"
    trouble: str = ""
    skipped: int = 0
    settled: bool = False
    pid: int = 0
    died: bool = False

    def take(self, stepped: Stepped) -> None:
        """What its process says."""
        self.view, self.words, self.trouble = stepped.view, stepped.words, stepped.trouble
        self.skipped, self.settled = stepped.skipped, not stepped.more and not stepped.trouble


class ShadowWorker:
    """`recording`: that of a replay; None for a live console, where every daemon has its own."""

    def __init__(self, recording: Path | None) -> None:
        self._recording = recording
        self._shadow: Followed | None = None
        self._node = ""
        self._worker: Worker[None] | None = None

    def of(self, entry: NodeState) -> tuple[Followed | None, str]:
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
        self._shadow, self._node = Followed(path, choice), entry.node
        self._worker = app.run_worker(self._follow(app, self._shadow), group="shadow")

    def bury(self) -> bool:
        """Forget one whose process died, so that it can be wanted again. Returns whether there was one."""
        dead = self._shadow is not None and self._shadow.died
        if dead:
            self.stop()
        return dead

    def stop(self) -> None:
        """End it, and its process with it."""
        self._shadow = None
        if self._worker is not None:
            self._worker.cancel()

    async def end(self) -> None:
        """End it, and wait until its process is gone."""
        self.stop()
        await gone(self._worker)

    async def _follow(self, app: ConsoleApp, shadow: Followed) -> None:
        try:
            async with Aside(MODULE, ShadowTask(str(shadow.path), shadow.choice), Stepped) as aside:
                shadow.pid = aside.pid
                while True:
                    stepped = await aside.ask(self._target(app))
                    shadow.take(stepped)
                    idle_s = IDLE_S if shadow.choice.other else CURVE_IDLE_S
                    await asyncio.sleep(0 if stepped.more else idle_s)
        except AsideError as error:
            shadow.died, shadow.trouble = True, str(error)
            shadow.words = f"{error}; S starts it anew"
        finally:
            shadow.pid = 0

    def _target(self, app: ConsoleApp) -> int:
        """A replay is followed to the moment it stands at, a live run to the end of what is recorded."""
        entry = app.fleet.nodes.get(self._node)
        return entry.seq if app.replay is not None and entry is not None else EVERYTHING
