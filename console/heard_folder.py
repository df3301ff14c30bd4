"""A temporary folder for what is heard. One whose console was killed is removed by the next console that makes one.

Who lives holds a lock on its folder: that ends with the process, whatever becomes of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "radixdeck-heard-"
YOUNG_S = 60.0
"""A younger one may be about to be locked."""


class HeardFolder:
    """Is there until `close`, or until the interpreter ends."""

    def __init__(self) -> None:
        """Raises OSError if there is no room for it."""
        remove_left_behind()
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name)
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Away with it."""
        self._folder.cleanup()
        os.close(self._lock)


def remove_left_behind() -> None:
    """Remove this user's folders that nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # It may be another user's, or gone by now.
        with contextlib.suppress(OSError):
            _remove(folder)


def _remove(folder: Path) -> None:
    """Raises OSError, BlockingIOError if it is held."""
    known = folder.lstat()
    if known.st_uid != os.getuid() or time.time() - known.st_mtime < YOUNG_S:
        return
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
