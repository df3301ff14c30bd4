"""The recordings in a folder, in words and numbers, and making room for new ones."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec

from .errors import SessionError
from .files import SUFFIX, RunInfo, parts_of, size_bytes
from .opening import connect_to_recording, translated
from .process_start import still_runs
from .session import Session

CREATION_SLACK_S = 1.0
"""How far two readings of the time a process began may lie apart."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One recording of a folder. `hit_rate`: cached / prompt tokens without warm-ups, 0 to 1; `live`: its writer is
    running on this machine; `error`: why it cannot be read, in words; the other facts are empty then."""

    path: Path
    size_bytes: int
    info: RunInfo | None = None
    duration_s: float = 0.0
    events: int = 0
    requests: int = 0
    hit_rate: float = 0.0
    live: bool = False
    error: str = ""


def list_runs(folder: Path) -> list[RunSummary]:
    """The recordings in `folder`, newest name first; one that cannot be read is listed with its error. A folder that
    does not exist has none."""
    return [_summary(path) for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True)]


def prune(folder: Path, keep_bytes: int) -> list[Path]:
    """Delete the oldest recordings until those left take `keep_bytes` at most; returns what was deleted.

    Only recordings go, never one that is being written, nor a file that is damaged or something else.
    """
    runs = [run for run in list_runs(folder) if run.info]
    excess = sum(run.size_bytes for run in runs) - keep_bytes
    deleted: list[Path] = []
    for run in reversed(runs):
        if excess <= 0:
            break
        if not run.live:
            for part in parts_of(run.path):
                part.unlink(missing_ok=True)
            excess -= run.size_bytes
            deleted.append(run.path)
    return deleted


def _summary(path: Path) -> RunSummary:
    try:
        with contextlib.closing(connect_to_recording(path)) as connection, translated(path):
            session = Session(path, connection)
            events = connection.execute("SELECT count(kind) FROM events").fetchone()[0]
            requests, prompt_tokens, cached_tokens = connection.execute(
                "SELECT count(*), total(prompt_tokens), total(cached_tokens) FROM requests"
                " WHERE warm = 0 AND matched_ns IS NOT NULL"
            ).fetchone()
            return RunSummary(
                path=path,
                size_bytes=size_bytes(path),
                info=session.info,
                duration_s=(session.last_ns - session.first_ns) / 1e9,
                events=events,
                requests=requests,
                hit_rate=cached_tokens / prompt_tokens if prompt_tokens else 0.0,
                live=not session.ended and _writer_runs(connection),
            )
    except SessionError as error:
        return RunSummary(path=path, size_bytes=size_bytes(path), error=str(error))


def _writer_runs(connection: sqlite3.Connection) -> bool:
    run = dict(connection.execute("SELECT * FROM runs").fetchone())
    pid, started_s, start = run["pid"], run["pid_started_s"], run.get("pid_start") or ""
    return still_runs(pid, start, lambda born_s: abs(born_s - started_s) < CREATION_SLACK_S)
