"""A recording, read: its facts, its events, and the state of the run at any time. Never writes, and may be open while
the daemon still records."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sqlite3
from collections.abc import Collection, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import zstandard

from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, Totals, fold

from . import anchor_text
from .anchor_text import AnchorText
from .demand import Request
from .errors import SessionError
from .files import RunInfo
from .in_blocks import Numbered, in_blocks
from .opening import connect_to_recording, is_damage
from .prompts import Demand
from .reading import Reader

_T = TypeVar("_T")


class _Counts(msgspec.Struct):
    """The part of a keyframe that is read to find one, without the rest of it."""

    totals: Totals = msgspec.field(default_factory=Totals)


_state_decoder = msgspec.json.Decoder(RunState)
_counts_decoder = msgspec.json.Decoder(_Counts)


def open_session(path: Path) -> Session:
    """Open a recording read-only. Raises SessionError, in words, if it is missing, no recording, damaged or newer."""
    connection = connect_to_recording(path)
    try:
        return Session(path, connection)
    except SessionError:
        connection.close()
        raise


class Session:
    """One recorded run. Every method raises SessionError if the file turns out to be damaged.

    `first_ns`, `last_ns`: arrival times of the first and last event (UTC nanoseconds; start of the run if there is
    none); `first_seq`, `last_seq`: their numbers (0 and -1 if there is none); `ended`: the writer closed it, for the
    reason `ended_why`; `skipped`: events met so far that this version cannot read, and requests not rebuilt.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.skipped = 0
        self._reader = Reader(path, connection)
        self._damaged: list[tuple[int, int]] = []
        row = self._run_row()
        self.info = RunInfo(
            run=str(row["run"]),
            node=str(row["node"]),
            started_ns=int(row["started_ns"]),
            version=str(row["version"]),
            model=str(row["model"] or ""),
            config=_config(row["config"]),
            prompts_stored=bool(row["prompts_stored"]),
        )
        self.refresh()

    def refresh(self) -> None:
        """See what a live recording has gained since."""
        row = self._run_row()
        self.ended, self.ended_why = row["ended_ns"] is not None, str(row["ended_why"] or "")
        self.first_seq, self.first_ns = self._edge("ASC") or (0, self.info.started_ns)
        self.last_seq, self.last_ns = self._edge("DESC") or (-1, self.info.started_ns)

    def close(self) -> None:
        """Let go of the file. A read that another thread is in ends with SessionError."""
        self._reader.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state_at(self, t_ns: int) -> tuple[int, RunState]:
        """The run after every event that had arrived by `t_ns`, and the number of the last of them.

        An event arrives at the largest `t_ns` seen up to it, so that seeking never depends on clocks that disagree.
        Before the first event: one less than its number, and an empty state.
        """
        last = self.seq_at(t_ns)
        return last, self.state_after(last)

    def state_after(self, seq: int) -> RunState:
        """The run right after event `seq`, also where several arrived at one moment."""
        with _uncollected():
            keyframe, state = self._keyframe(seq)
            for _, event in self._events("seq > ? AND seq <= ? ORDER BY seq", (keyframe, seq)):
                fold(state, event)
        return state

    def keyframes(self, after_seq: int, upto_seq: int) -> list[int]:
        """Numbers of the events after which a keyframe was written, in a stretch."""
        rows = self._rows("SELECT seq FROM keyframes WHERE seq > ? AND seq <= ? ORDER BY seq", (after_seq, upto_seq))
        return [int(row["seq"]) for row in rows]

    def totals_at(self, keyframe: int) -> Totals | None:
        """The totals in one of `keyframes`, at a tenth of the price of its state; None if it is damaged."""
        rows = self._rows("SELECT state FROM keyframes WHERE seq = ?", (keyframe,))
        counts = _unpacked(rows[0]["state"], _counts_decoder) if rows else None
        return counts.totals if counts else None

    def events(self, after_seq: int, limit: int, kinds: Collection[str] = ()) -> list[Numbered]:
        """Up to `limit` events after number `after_seq`, oldest first, of the kinds named or of all."""
        if not kinds:
            return list(self._events("seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)))
        one = "SELECT * FROM (SELECT seq FROM events WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?)"
        chosen = f"seq IN ({' UNION ALL '.join([one] * len(kinds))}) ORDER BY seq LIMIT ?"
        values = [value for kind in kinds for value in (kind, after_seq, limit)]
        return list(self._events(chosen, (*values, limit)))

    def until(self, after_seq: int, t_ns: int) -> list[Numbered]:
        """The events after number `after_seq` that had arrived by `t_ns`."""
        return list(self._events("seq > ? AND seq <= ? ORDER BY seq", (after_seq, self.seq_at(t_ns))))

    def next_of(self, after_seq: int, kinds: Collection[str], backwards: bool = False) -> int | None:
        """Number of the nearest event of one of `kinds` after `after_seq`, or before it if `backwards`."""
        best, side = ("max", "<") if backwards else ("min", ">")
        statement = f"SELECT {best}(seq) AS seq FROM events WHERE kind = ? AND seq {side} ?"
        found = [self._one(statement, (kind, after_seq))["seq"] for kind in kinds]
        return (max if backwards else min)((int(seq) for seq in found if seq is not None), default=None)

    def seq_at(self, t_ns: int) -> int:
        """Number of the last event that had arrived by `t_ns`. Arrival times rise with the numbers, so it is found by
        halving, without an index on time; what is damaged is passed over."""
        low, high = self.first_seq - 1, self.last_seq
        while low < high:
            middle = (low + high) // 2
            found = self._readable_after(middle, high)
            if found is not None and found[1] <= t_ns:
                low = found[0]
            else:
                high = middle
        return low

    def next_readable(self, after_seq: int) -> int | None:
        """Number of the first event after `after_seq` that lies on no damaged page of the file; None if there is none.
        Whether this version knows its kind is another matter."""
        found = self._readable_after(after_seq, self.last_seq)
        return None if found is None else found[0]

    def arrived_ns(self, seq: int) -> int:
        """When event `seq`, or the last one before it, arrived; the first event's time if there is none before."""
        rows = self._rows("SELECT at_ns FROM events WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,))
        return int(rows[0]["at_ns"]) if rows else self.first_ns

    def density(self, buckets: int) -> list[int]:
        """Events per bucket when the time from `first_ns` to `last_ns` is cut into `buckets` equal ones. Numbers that
        are missing (dropped events) count where they are missing."""
        if buckets < 1:
            raise ValueError(f"buckets: {buckets} is not a positive number")
        span = self.last_ns - self.first_ns
        inner = [self.seq_at(self.first_ns + span * n // buckets) for n in range(1, buckets)]
        edges = [self.first_seq - 1, *inner, self.last_seq]
        return [high - low for low, high in itertools.pairwise(edges)]

    def requests(
        self, after_seq: int | None = None, upto_seq: int | None = None, *, warm_ups: bool = False
    ) -> list[Request]:
        """The prefix demand of the run, or of its events after `after_seq` and up to `upto_seq`, for
        `bound.belady_bound`. Left out are warm-ups, unless `warm_ups`, and any request whose prompt cannot be rebuilt
        (`skipped`)."""
        upto = self.last_seq if upto_seq is None else upto_seq
        demand = Demand(self.first_seq - 1 if after_seq is None else after_seq, warm_ups)
        for seq, event in in_blocks(self, ("prefix_matched", "prefix_inserted"), upto):
            demand.add(seq, event)
        self.skipped += demand.left_out
        return demand.requests()

    def prompts_bytes(self) -> int:
        """Memory that `requests` takes at least: 4 bytes per token of every prompt and answer."""
        tokens = "SELECT total(prompt_tokens) + total(output_tokens) AS n FROM requests WHERE matched_ns IS NOT NULL"
        return 4 * int(self._one(tokens)["n"])

    def anchor_texts(self, agent: str) -> list[AnchorText]:
        """The text of an agent's system messages and tools, its last version first; none unless this recording was
        begun as one that holds text (`info.prompts_stored`)."""
        rows = self._rows(anchor_text.SELECT, (agent,)) if self.info.prompts_stored else []
        return [AnchorText(**dict(row)) for row in rows]

    def export_copy(self, path: Path) -> None:
        """One file with everything so far, opened anywhere. Raises SessionError if `path` exists or cannot be made."""
        if path.exists():
            raise SessionError(f"{path} exists already")
        try:
            path.touch(mode=0o600)
        except OSError as error:
            raise SessionError(f"{path}: {error.strerror}") from error
        try:
            self._reader.rows("VACUUM INTO ?", (str(path),), about=path)
        except SessionError:
            path.unlink(missing_ok=True)  # half a copy looks like one
            raise

    # ---- inside ----

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        return self._reader.rows(statement, values)

    def _one(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Row:
        return self._rows(statement, values)[0]

    def _run_row(self) -> sqlite3.Row:
        rows = self._rows("SELECT * FROM runs LIMIT 1")
        if not rows:
            raise SessionError(f"{self.path} holds no run: its recording never began")
        return rows[0]

    def _readable_after(self, seq: int, upto: int) -> tuple[int, int] | None:
        """Number and arrival of the first event after `seq` that can be read. Damaged stretches are kept: to feel one's
        way through one takes long."""
        seq = max((end for first, end in self._damaged if first <= seq < end), default=seq)
        first = seq
        while seq < upto:
            try:
                rows = self._rows("SELECT seq, at_ns FROM events WHERE seq > ? ORDER BY seq LIMIT 1", (seq,))
            except SessionError as error:
                if not is_damage(error):
                    raise
                seq += 1
                continue
            break
        else:
            rows = []
        if seq > first:
            self._damaged.append((first, seq))
        return (int(rows[0]["seq"]), int(rows[0]["at_ns"])) if rows else None

    def _edge(self, order: str) -> tuple[int, int] | None:
        rows = self._rows(f"SELECT seq, at_ns FROM events ORDER BY seq {order} LIMIT 1")
        return (int(rows[0]["seq"]), int(rows[0]["at_ns"])) if rows else None

    def _keyframe(self, seq: int) -> tuple[int, RunState]:
        """The last readable keyframe at or before event `seq`, or the empty state before the first event."""
        while rows := self._rows("SELECT seq, state FROM keyframes WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)):
            seq = int(rows[0]["seq"])
            state = _unpacked(rows[0]["state"], _state_decoder)
            if state is not None:
                return seq, state
            seq -= 1
        return self.first_seq - 1, RunState()

    def _events(self, where: str, values: Sequence[Any]) -> Iterable[Numbered]:
        for row in self._rows(f"SELECT seq, CAST(body AS BLOB) AS body FROM events WHERE {where}", values):
            try:
                yield int(row["seq"]), ev.decode(row["body"])
            except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
                self.skipped += 1


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """No search for garbage inside: thousands of new objects set it off again and again, and none of them is any."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _unpacked(blob: object, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    """What `decoder` makes of a stored keyframe, None if it is damaged."""
    try:
        return decoder.decode(zstandard.ZstdDecompressor().decompress(cast(bytes, blob)))
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, TypeError, MemoryError):
        # MemoryError: what it says of its size is damaged.
        return None


def _config(text: object) -> dict[str, Any]:
    try:
        return msgspec.json.decode(str(text), type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
