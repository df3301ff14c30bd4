"""The logs of a node's engines: a file per start, named after the node, of which the oldest go."""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from pathlib import Path
from typing import IO

KEPT = 10
"""Logs of one node, with the one that begins."""
OLD_S = 14 * 86_400.0
"""Logs of other nodes go when nothing was written to them for so long: a node may never come back for its own."""


class EngineLogs:
    """The logs of `node` in `folder`, which other daemons may write to as well."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._node = folder, node
        self._own = re.compile(rf"engine-{re.escape(node)}-\d{{8}}-\d{{6}}(_\d+)?\.log")

    def begin(self) -> Path:
        """Delete what is too old, and make an empty log that nobody else has. Raises OSError if that cannot be."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prune()
        name, more = f"engine-{self._node}-{time.strftime('%Y%m%d-%H%M%S')}", 1
        path = self._folder / f"{name}.log"
        while True:
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path
            more += 1
            path = self._folder / f"{name}_{more}.log"

    def _prune(self) -> None:
        logs = sorted(self._folder.glob("engine-*.log"))
        own = [path for path in logs if self._own.fullmatch(path.name)]
        for path in own[: -(KEPT - 1)]:
            _delete(path)
        for path in logs:
            if path not in own and _unwritten_s(path) > OLD_S:
                _delete(path)


def hold(log: IO[bytes]) -> None:
    """Keep `log` from being deleted for as long as any process that has inherited this open file lives."""
    with contextlib.suppress(OSError):  # some network file systems cannot
        fcntl.flock(log, fcntl.LOCK_SH)


def _delete(path: Path) -> None:
    """Unless it is held, or cannot be deleted."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _unwritten_s(path: Path) -> float:
    """Seconds since something was last written to it; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
