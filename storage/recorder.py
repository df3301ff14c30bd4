"""Takes events in memory, without ever blocking or raising, and writes them to the file in the background.

What cannot be kept (the buffer is full, the file is at its size limit, an event that cannot be encoded) is counted, and
where it is missing the recording holds an EventsDropped event with the first missing number. A run that `goes_on` has
another file instead when one is full, with the state so far as its first row.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from radixdeck.policies.events import AnyEvent, EventsDropped
from radixdeck.policies.residency import RunState

from .anchor_text import AnchorText
from .errors import StorageError
from .files import RunInfo, is_gone, size_bytes
from .next_file import Alone, NextFile, Queued, begin_next
from .spacing import Spacing
from .writer import Fact, Frame, Item, Writer

FLUSH_S = 0.25
RETRY_S = 2.0
NEXT_FILE_RETRY_S = 30.0
HARD_LIMIT = 2
"""Where no other file can be begun, one grows to so many times its limit before recording stops."""
LAST_NS = (1 << 63) - 1
"""The largest time SQLite can hold; a later one is taken for nonsense, so that it cannot end all seeking."""
MAX_BACKLOG = 50_000
BATCH = 5_000

BAD_ROW = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
"""What SQLite raises about a value; every other sqlite3.Error is about the file."""
BAD_FILE = (sqlite3.Error, OSError)
"""What is raised about the file, which may be well again later."""
BAD_VALUE = (sqlite3.Error, TypeError, ValueError, OverflowError)
"""What an event with a value that JSON or SQLite cannot hold raises; minus what is about the file."""


class Recorder:
    """One run's recording. `record` and `keyframe` are called on the event loop; `run` is a task of its own.

    `dropped`: events that did not and will not reach the file; `failed`: why recording stands still, in words, or ''.
    """

    def __init__(
        self, path: Path, info: RunInfo, *, max_bytes: int = 4 << 30, goes_on: Callable[[Path], None] | None = None
    ) -> None:
        """Begins the file. `goes_on`: told of each further file, on the event loop. Raises RecordingError."""
        self.path = path
        self.info = info
        self.max_bytes = max_bytes
        self._goes_on = goes_on
        self._alone = Alone()
        self._full = self._turning = False
        self._next_file: list[NextFile] = []
        self._next_file_at_s = 0.0
        self._why_none = ""
        self.dropped = 0
        self.failed = ""
        self._writer = Writer(path, info)
        self._queue: deque[Queued] = deque()
        self._pieces: deque[list[Queued]] = deque()
        self._gap: tuple[int, int, int] | None = None
        self._last_seq: int | None = None
        self._spacing = Spacing()
        self._at_ns = 0
        self._stopped = False
        self._closed = False
        self._retry_at_s = 0.0
        self._guard = threading.Lock()
        self._file_lock = threading.Lock()
        self._closing = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Events and keyframes taken but not yet in the file."""
        return len(self._queue) + sum(len(piece) for piece in tuple(self._pieces))

    @property
    def wants_keyframe(self) -> bool:
        """Whether so much was recorded since the last keyframe that seeking would become slow, or a file is full."""
        return self._spacing.over or (self._full and not self.failed)

    @property
    def keyframe_period_s(self) -> float:
        """How far apart keyframes are wanted while there are few events, seconds."""
        return self._spacing.period_s

    def record(self, seq: int, event: AnyEvent) -> None:
        """Take one event. `seq` must rise from call to call; an event out of order is dropped and counted."""
        with self._guard:
            if self._last_seq is not None and seq <= self._last_seq:
                self.dropped += 1
                return
            self._last_seq = seq
            self._spacing.events += 1
            if self._at_ns < event.t_ns <= LAST_NS:
                self._at_ns = event.t_ns
            if self._stopped or self._closed or len(self._queue) >= MAX_BACKLOG:
                self._lose(seq, self._at_ns, 1)
            else:
                self._queue += self._next_file
                self._next_file = []
                self._mark_gap()
                self._queue.append(Fact(seq, self._at_ns, event))

    def keyframe(self, seq: int, state: RunState) -> None:
        """Take the whole state after event `seq`. It is encoded before this returns, so the caller may go on folding.
        While recording stands still keyframes are left out: the events say it all."""
        self._spacing.events = 0
        if self.failed or self._closed or len(self._queue) >= MAX_BACKLOG:
            return
        try:
            body = msgspec.json.encode(state)
        except (TypeError, ValueError) as error:
            self.failed = f"keyframe after event {seq} left out: {error}"
            return
        self._spacing.state_bytes = len(body)
        with self._guard:
            self._mark_gap()
            self._queue.append(frame := Frame(seq, self._at_ns or state.t_ns, body))
            if self._full:
                # With the next event: a run that ends here needs no file without any.
                self._full, self._turning, self._next_file = False, True, [NextFile(frame)]

    def keep(self, told: AnchorText) -> None:
        """Take the text of an anchor, if this recording was begun as one that holds text. It is told once, so it waits
        also while the file cannot be written."""
        if self.info.prompts_stored and not self._stopped and not self._closed and len(self._queue) < MAX_BACKLOG:
            with self._guard:
                self._queue.append(told.cut())

    async def run(self) -> None:
        """Write what has gathered, four times a second, until closed."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), FLUSH_S)
            if self.backlog and time.monotonic() >= self._retry_at_s:
                await self.flush()

    async def flush(self) -> None:
        """Write what has been taken so far, now."""
        before = self.path
        await asyncio.to_thread(self._flush)
        if self._goes_on and self.path != before:
            self._goes_on(self.path)

    async def close(self) -> None:
        """Write everything, note the end of the run and close the file. Never raises; `failed` says what went wrong.
        Closing twice does nothing."""
        self._closing.set()
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._finish)

    # ---- in the writing thread ----

    def _finish(self) -> None:
        self._flush()
        with self._file_lock:
            if self._pieces:
                self._stop(self.failed)
            with self._guard:
                self._mark_gap()
                last = _items(self._queue)
                self._queue.clear()
            try:
                self._writer.write(last)
            except BAD_FILE as error:
                self.failed = self.failed or self._words(error)
            try:
                self._writer.finish(self.failed or "closed")
            except BAD_FILE as error:
                self.failed = self.failed or self._words(error)

    def _flush(self) -> None:
        with self._file_lock:
            while not self._stopped and self._take():
                try:
                    if why := self._no_room():
                        self._stop(why)
                        return
                    self._write_piece()
                except BAD_FILE as error:
                    self.failed = f"{self._words(error)}; trying again every {RETRY_S:g} s"
                    self._retry_at_s = time.monotonic() + RETRY_S
                    return

    def _no_room(self) -> str:
        if is_gone(self.path):
            return f"{self.path} was deleted; recording stopped"
        size = size_bytes(self.path)
        if size < self.max_bytes:
            return ""
        if self._goes_on and size < HARD_LIMIT * self.max_bytes:
            with self._guard:
                self._full = not self._turning and time.monotonic() >= self._next_file_at_s
            return ""
        return f"{self.path} reached its limit of {self.max_bytes:,} bytes{self._why_none}; recording stopped"

    def _take(self) -> bool:
        """Whether there is a piece to write: what an earlier call left over, else the oldest of the queue."""
        if self._pieces:
            return True
        with self._guard:
            piece = [self._queue.popleft()] if self._queue else []
            while piece and self._queue and len(piece) < BATCH:
                if isinstance(piece[0], NextFile) or isinstance(self._queue[0], NextFile):
                    break
                piece.append(self._queue.popleft())
            self._pieces += [piece] if piece else []
        if self._goes_on:
            piece[:] = map(self._alone.told, piece)
        return bool(piece)

    def _begin_next(self, item: NextFile) -> None:
        """Go on in another file; in the present one, for a while, if there can be no other."""
        try:
            self._writer = begin_next(self._writer, self.info, item)
        except (StorageError, *BAD_FILE) as error:
            self._why_none = f", and no other file could be begun: {error}"
            self._next_file_at_s = time.monotonic() + NEXT_FILE_RETRY_S
        else:
            self.path, self._why_none = self._writer.path, ""
            self._alone.begin()
        self._turning = False

    def _write_piece(self) -> None:
        """Write the first piece, or halve it if a value in it cannot be stored, until only that one is left out.
        Raises what is in BAD_FILE if the file itself fails; the piece stays where it is then."""
        piece = self._pieces[0]
        if isinstance(piece[0], NextFile):
            self._begin_next(piece[0])
            self._pieces.popleft()
            return
        try:
            self._writer.write(_items(piece))
        except BAD_VALUE as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, BAD_ROW):
                raise
            self._pieces.popleft()
            middle = len(piece) // 2
            halves = [piece[:middle], piece[middle:]] if middle else [self._stand_in(piece[0])]
            self._pieces.extendleft(half for half in reversed(halves) if half)
        else:
            self._pieces.popleft()
            self.failed = ""

    def _stand_in(self, item: Queued) -> list[Queued]:
        """What is stored in place of an item that cannot be."""
        if not isinstance(item, Fact) or isinstance(item.event, EventsDropped):
            return []
        self.dropped += 1
        return [Fact(item.seq, item.at_ns, EventsDropped(t_ns=item.at_ns, count=1))]

    def _stop(self, why: str) -> None:
        """Give up for good; what is unsaved becomes one gap."""
        with self._guard:
            self._stopped = True
            self.failed = why
            unsaved = [item for piece in (*self._pieces, self._queue) for item in piece]
            lost = [item for item in unsaved if isinstance(item, Fact)]
            self._pieces.clear()
            self._queue.clear()
            later, self._gap = self._gap, None
            if lost:
                self._lose(lost[0].seq, lost[0].at_ns, len(lost))
            if later:
                self.dropped -= later[2]
                self._lose(*later)

    def _words(self, error: sqlite3.Error | OSError) -> str:
        return f"{self.path} cannot be written: {getattr(error, 'strerror', None) or error}"

    # ---- holding the guard ----

    def _lose(self, seq: int, at_ns: int, count: int) -> None:
        self.dropped += count
        first_seq, first_ns, before = self._gap or (seq, at_ns, 0)
        self._gap = (first_seq, first_ns, before + count)

    def _mark_gap(self) -> None:
        if self._gap:
            seq, at_ns, count = self._gap
            self._queue.append(Fact(seq, at_ns, EventsDropped(t_ns=at_ns, count=count)))
            self._gap = None


def _items(queued: Iterable[Queued]) -> list[Item]:
    return [item for item in queued if not isinstance(item, NextFile)]
