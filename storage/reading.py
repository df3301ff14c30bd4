"""Statements on a recording, one at a time, from whichever thread: and none may run while it is closed, which is what
SQLite does not bear."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import SessionError
from .opening import translated

AGAIN_S = 0.05
"""How often a statement that began after it was told to end is told again."""


class Reader:
    """A connection to the recording at `path`, which this owns."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection = path, connection
        self._used = threading.Lock()
        self._closed = False

    def rows(self, statement: str, values: Sequence[Any] = (), about: Path | None = None) -> list[sqlite3.Row]:
        """All that a statement finds. Raises SessionError, also where it is closed meanwhile; it names the recording,
        or the file that the statement is `about`."""
        with self._used, translated(about or self._path):
            if self._closed:
                raise SessionError(f"{self._path}: closed")
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """End the statement that another thread may be in, and let go of the file. Again: nothing."""
        if self._closed:
            return
        self._closed = True
        while not self._used.acquire(timeout=AGAIN_S):
            self._connection.interrupt()
        try:
            self._connection.close()
        finally:
            self._used.release()
