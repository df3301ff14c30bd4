"""What a recording is as a file: its name, its mark, its size on disk, and which old ones may go.

Nothing here opens a recording by hand: closing a plain file handle would drop the locks that SQLite holds on the same
file in the same process.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

APPLICATION_ID = 0x52445831
"""`PRAGMA application_id` of a recording ('RDX1')."""
SCHEMA_VERSION = 1
"""`PRAGMA user_version`: how many migrations a recording of this version has seen."""
SUFFIX = ".db"


class RunInfo(msgspec.Struct, frozen=True):
    """What a recording is of. `version`: of radixdeck when it was written; `config`: anything JSON can hold;
    `prompts_stored`: it holds text of prompts, those of anchors."""

    run: str
    node: str
    started_ns: int
    version: str
    model: str
    config: dict[str, Any]
    prompts_stored: bool = False


def run_path(folder: Path, node: str, started_ns: int) -> Path:
    """`<UTC time to the millisecond>-<node>.db` in `folder`, so that names sort by time."""
    moment = datetime.fromtimestamp(started_ns // 1_000_000_000, UTC)
    return folder / f"{moment:%Y%m%dT%H%M%S}.{started_ns // 1_000_000 % 1000:03d}Z-{node}{SUFFIX}"


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files a recording may consist of: itself, its write-ahead log, the log's index, its rollback journal."""
    return (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")))


def is_gone(path: Path) -> bool:
    """Whether there is no such file. Raises OSError if that cannot be told: Path.exists does so for some errors only,
    and in newer Pythons for none."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def size_bytes(path: Path) -> int:
    """Bytes on disk of a recording with its log; 0 if it is not there."""
    total = 0
    for part in parts_of(path)[:2]:
        try:
            total += part.stat().st_size
        except OSError:
            continue
    return total
