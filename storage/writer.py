"""The one connection that writes a recording: a batch is one transaction, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil
import zstandard
from sqlite_utils import Database

from radixdeck.policies import events as ev

from . import anchor_text
from .anchor_text import AnchorText
from .derived import KEYS, WRITTEN_ONCE, Columns, rows_of
from .errors import RecordingError
from .files import RunInfo, parts_of
from .process_start import start_of
from .schema import migrate

INSERT_EVENT = "INSERT INTO events (seq, at_ns, kind, agent, session, rid, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_FRAME = "INSERT OR REPLACE INTO keyframes (seq, at_ns, state) VALUES (?, ?, ?)"
AUDITED = (ev.CommandReceived, ev.ActionTaken)


class Fact(msgspec.Struct, frozen=True):
    """One event on its way to the file. `at_ns`: running maximum of `t_ns`, so that time never runs backwards."""

    seq: int
    at_ns: int
    event: ev.AnyEvent


class Frame(msgspec.Struct, frozen=True):
    """A keyframe: JSON of the state after event `seq`."""

    seq: int
    at_ns: int
    state: bytes


Item = Fact | Frame | AnchorText


class Writer:
    """Begins the file, appends batches, closes it. Not thread-safe: one call at a time, from any thread."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        """Raises RecordingError if the file exists or cannot be made."""
        self.path = path
        self.run = info.run
        _make_empty(path)
        try:
            self._db = _begin(path, info)
        except (sqlite3.Error, OSError) as error:
            for part in parts_of(path):
                part.unlink(missing_ok=True)
            raise RecordingError(f"{path}: {error}") from error

    def write(self, items: Iterable[Item]) -> None:
        """Store a batch. Raises sqlite3.Error, or whatever an event that cannot be stored raises; nothing is stored
        then. A batch with an operator's command in it is forced to the disk before this returns."""
        facts = [item for item in items if isinstance(item, Fact)]
        frames = [item for item in items if isinstance(item, Frame)]
        texts = [item.row for item in items if isinstance(item, AnchorText)]
        audited = any(isinstance(fact.event, AUDITED) for fact in facts)
        connection = self._db.conn
        connection.execute(f"PRAGMA synchronous = {'FULL' if audited else 'NORMAL'}")
        with self._db.atomic():
            connection.executemany(INSERT_EVENT, [_event_row(fact) for fact in facts])
            # Damage that still unpacks would be a wrong state, so that seeking must find it out.
            compress = zstandard.ZstdCompressor(level=3, write_checksum=True).compress
            connection.executemany(INSERT_FRAME, [(f.seq, f.at_ns, compress(f.state)) for f in frames])
            if texts:
                connection.executemany(anchor_text.INSERT, texts)
            for table, row in _merged(facts):
                connection.execute(*_upsert(table, row))

    def finish(self, why: str) -> None:
        """Note that the run is over, empty the log and go back to a rollback journal, so that the file opens
        read-only anywhere. Raises sqlite3.Error; the connection is closed in any case."""
        try:
            with self._db.atomic():
                statement = "UPDATE runs SET ended_ns = ?, ended_why = ? WHERE run = ?"
                self._db.conn.execute(statement, (time.time_ns(), why, self.run))
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._leave_wal()
        finally:
            self._db.close()

    def discard(self) -> None:
        """Close and delete it, as if it had never been begun."""
        self._db.close()
        for part in parts_of(self.path):
            part.unlink(missing_ok=True)

    def _leave_wal(self) -> None:
        """A reader that has the file open keeps it in WAL mode; the recording is as whole either way."""
        self._db.conn.execute("PRAGMA busy_timeout = 0")
        try:
            self._db.conn.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise


def _make_empty(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise RecordingError(f"{path} exists already; a recording never overwrites a file") from None
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error


def _begin(path: Path, info: RunInfo) -> Database:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=1.0)
    db = Database(connection, strict=True, execute_plugins=False)
    db.enable_wal()
    migrate(db)
    row = {name: getattr(info, name) for name in ("run", "node", "started_ns", "version", "model")}
    row |= {"config": msgspec.json.encode(info.config).decode(), "prompts_stored": int(info.prompts_stored)}
    row |= {"pid": os.getpid(), "pid_started_s": psutil.Process().create_time()}
    row |= {"pid_start": start_of(os.getpid())}
    db.table("runs").insert(row)
    if info.prompts_stored:
        connection.execute(anchor_text.CREATE)
    return db


def _event_row(fact: Fact) -> tuple[int, int, str, str | None, str | None, str | None, str]:
    event = fact.event
    agent = getattr(event, "agent", None) or ",".join(getattr(event, "agents", ())) or None
    session = getattr(event, "session", None) or None
    rid = getattr(event, "rid", None) or None
    return fact.seq, fact.at_ns, ev.kind_of(event), agent, session, rid, _body(event)


def _body(event: ev.AnyEvent) -> str:
    """Raises ValueError for what could not be read again: JSON has no number that is not finite, and writes null."""
    body = ev.encode(event)
    if b"null" in body:
        try:
            ev.decode(body)
        except msgspec.ValidationError as error:
            raise ValueError(f"{ev.kind_of(event)} cannot be read again: {error}") from error
    return body.decode()


def _merged(facts: Iterable[Fact]) -> list[tuple[str, Columns]]:
    """Derived rows of a batch, one per key, later facts over earlier ones."""
    merged: dict[tuple[str, object], Columns] = {}
    for fact in facts:
        for table, row in rows_of(fact.seq, fact.at_ns, fact.event):
            key = row[KEYS[table]]
            if key == "":
                continue
            known = merged.setdefault((table, key), {})
            known |= {name: value for name, value in row.items() if name not in WRITTEN_ONCE or name not in known}
    return [(table, row) for (table, _), row in merged.items()]


def _upsert(table: str, row: Columns) -> tuple[str, list[object]]:
    """Insert or update the columns given. Table and column names come from this package, never from outside."""
    names = [f'"{name}"' for name in row]
    key = KEYS[table]
    updates = [f"{name} = excluded.{name}" for name in names if name.strip('"') not in {key, *WRITTEN_ONCE}]
    updates += [f"{name} = coalesce({name}, excluded.{name})" for name in names if name.strip('"') in WRITTEN_ONCE]
    then = f"UPDATE SET {', '.join(updates)}" if updates else "NOTHING"
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(row))})"
    return f"{statement} ON CONFLICT ({key}) DO {then}", list(row.values())
