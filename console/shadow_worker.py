"""Keeps at most one shadow, in a process of its own that follows what the console follows: the daemon's recording, or,
where that cannot be read from here, what the console heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import Worker

from radixdeck.storage.beside import BesideView
from radixdeck.storage.errors import RecordingError

from .aside import Aside, AsideError
from .fleet_state import NodeState
from .heard import Heard
from .key_words import called
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
    `heard`: what it is about if not the daemon's recording; `settled`: it has read all there is; `pid`: of its process,
    0 without one; `died`: that ended before it was told to; `run`: that it is of, '' if that is not known."""

    path: Path
    choice: Choice
    heard: Heard | None = None
    view: BesideView | None = None
    words: str = "beginning"
    trouble: str = ""
    skipped: int = 0
    settled: bool = False
    pid: int = 0
    died: bool = False
    run: str = ""

    @property
    def told(self) -> str:
        """How far it has come, and with what."""
        return f"{self.words}; {self.heard.words}" if self.heard is not None else self.words

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
        self._heard: Heard | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._deaf = ""

    def of(self, entry: NodeState) -> tuple[Followed | None, str]:
        """The shadow of a daemon's run, or None and why there is none."""
        path, why = self._source(entry)
        if path is None:
            return None, why
        shadow = self._of(entry, path)
        return (shadow, "") if shadow is not None else (None, "no shadow runs")

    def want(self, app: ConsoleApp, entry: NodeState, choice: Choice) -> None:
        """Run that one instead of what runs now, unless it is the same."""
        path, _ = self._source(entry)
        if path is None and self._recording is None:
            self._listen(entry)
            path, _ = self._source(entry)
        now = self._of(entry, path) if path is not None else None
        if path is None or (now is not None and now.choice == choice):
            return
        self._end_process()
        heard = self._heard if self._heard is not None and self._heard.path == path else None
        self._shadow, self._node = Followed(path, choice, heard, run=entry.run_id), entry.node
        self._worker = app.run_worker(self._follow(app, self._shadow), group="shadow")

    def _of(self, entry: NodeState, path: Path) -> Followed | None:
        """The shadow that runs, if it follows that file, or will: it finds the next one of its run by itself."""
        now = self._shadow
        if now is None or now.path == path:
            return now
        heard = self._heard is not None and self._heard.path in (path, now.path)
        same = bool(now.run) and (self._node, now.run) == (entry.node, entry.run_id)
        return now if same and not heard else None

    def bury(self) -> bool:
        """Forget one whose process died, so that it can be wanted again. Returns whether there was one."""
        dead = self._shadow is not None and self._shadow.died
        if dead:
            self._end_process()
        return dead

    def stop(self) -> None:
        """End it, and its process with it; what was heard goes too."""
        self._end_process()
        self._listen_no_more()

    def stop_only(self, shadow: Followed | None) -> bool:
        """End that one, unless another one runs by now. Returns whether it did."""
        if shadow is not self._shadow:
            return False
        self.stop()
        return True

    def _end_process(self) -> None:
        self._shadow = None
        if self._worker is not None:
            self._worker.cancel()

    def _source(self, entry: NodeState) -> tuple[Path | None, str]:
        """What to follow, or None and why there is nothing."""
        path, why = recording_of(self._recording, entry)
        heard = self._heard
        if path is None and heard is not None and heard.is_of(entry):
            return heard.path, ""
        return path, self._deaf or why

    def _listen(self, entry: NodeState) -> None:
        """Keep what is heard of this run."""
        if not entry.synced:
            return
        self._listen_no_more()
        self._deaf = ""
        try:
            self._heard = Heard(entry)
        except (OSError, RecordingError) as error:
            self._deaf = f"the recording cannot be read from here, and what is heard cannot be kept: {error}"

    def _listen_no_more(self) -> None:
        if self._heard is not None:
            closing = asyncio.ensure_future(self._heard.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._heard = None

    async def end(self) -> None:
        """End it, and wait until its process is gone."""
        self.stop()
        await gone(self._worker)
        await asyncio.gather(*self._closing)

    async def _follow(self, app: ConsoleApp, shadow: Followed) -> None:
        try:
            async with Aside(MODULE, ShadowTask(str(shadow.path), shadow.choice), Stepped) as aside:
                shadow.pid = aside.pid
                while True:
                    await self._take(app, shadow)
                    stepped = await aside.ask(self._target(app))
                    shadow.take(stepped)
                    idle_s = IDLE_S if shadow.choice.other else CURVE_IDLE_S
                    await asyncio.sleep(0 if stepped.more else idle_s)
        except AsideError as error:
            shadow.died, shadow.trouble = True, str(error)
            shadow.words = f"{error}; {called(app, 'view.anew', 'S')} starts it anew"
        finally:
            shadow.pid = 0

    async def _take(self, app: ConsoleApp, shadow: Followed) -> None:
        """Write down what was heard since."""
        entry = app.fleet.nodes.get(self._node)
        if shadow.heard is not None and entry is not None and shadow.heard.is_of(entry):
            try:
                await shadow.heard.take(entry)
            except Exception as error:
                # It is about what somebody else wrote; the console goes on.
                raise AsideError(f"what is heard cannot be kept: {type(error).__name__}: {error}") from error

    def _target(self, app: ConsoleApp) -> int:
        """A replay is followed to the moment it stands at, a live run to the end of what is recorded."""
        entry = app.fleet.nodes.get(self._node)
        return entry.seq if app.replay is not None and entry is not None else EVERYTHING
