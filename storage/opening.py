"""Opening a recording for reading, and saying in words why it cannot be."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from functools import partial
from pathlib import Path

from .errors import SessionError
from .files import APPLICATION_ID, SCHEMA_VERSION, is_gone, parts_of


@contextlib.contextmanager
def translated(path: Path) -> Generator[None]:
    """Turns what SQLite and the system raise inside into a SessionError that names `path`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise SessionError(f"{path}: {_words(error)}") from error


def is_damage(error: SessionError) -> bool:
    """Whether a place of the file is damaged, and not the file locked or its disk away for now."""
    return _code(error.__cause__) == sqlite3.SQLITE_CORRUPT


def _code(error: BaseException | None) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _words(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    code = _code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return "not a SQLite file"
    if code == sqlite3.SQLITE_CORRUPT:
        return "damaged or cut short"
    return str(error)


def connect_to_recording(path: Path) -> sqlite3.Connection:
    """A read-only connection with named columns. Raises SessionError if `path` is not a recording this version reads.

    It may be used from any one thread at a time.
    """
    with translated(path):
        _check_file(path)
        connection = _connect(path)
    # One bad byte in a text must not cost all that a statement finds; where it matters bytes are asked for.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        with translated(path):
            _check(path, connection)
    except SessionError:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _check_file(path: Path) -> None:
    if is_gone(path):
        raise SessionError(f"{path}: no such file")
    if not path.is_file():
        raise SessionError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise SessionError(f"{path}: empty, its recording never began")


def _connect(path: Path) -> sqlite3.Connection:
    """Where the folder cannot be written a recording still in WAL mode opens only as an unchanging file, which it is
    if it has no log."""
    address = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=2.0)
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:
        connection.close()
        if parts_of(path)[1].exists():
            raise
        return sqlite3.connect(address + "&immutable=1", uri=True, check_same_thread=False)
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    mark, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark != APPLICATION_ID:
        raise SessionError(f"{path}: a SQLite file, but not a radixdeck recording")
    if version > SCHEMA_VERSION:
        writer = connection.execute("SELECT version FROM runs").fetchone()
        by = f"radixdeck {writer[0]}" if writer else "a newer radixdeck"
        raise SessionError(
            f"{path}: written by {by} in format {version}; this radixdeck reads up to format {SCHEMA_VERSION}"
        )
