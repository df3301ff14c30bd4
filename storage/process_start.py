"""Whether a process that left its number in a file still runs: by now the number alone may be another one's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

_PROC = Path("/proc")


def start_of(pid: int) -> str:
    """When process `pid` began, as '<id of the boot>/<clock ticks since it>', which no step of the wall clock moves;
    '' if there is no such process, or no such number on this system (it is Linux's)."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        # Behind the program's name in brackets, which may hold spaces and brackets itself.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{boot}/{fields[19]}"
    except (OSError, IndexError):
        return ""


def still_runs(pid: int, start: str, born_then: Callable[[float], bool]) -> bool:
    """Whether process `pid` runs and is the one that began at `start`. Where that is not known `born_then` judges by
    when it began in seconds since 1970, which on Linux moves with each step of the wall clock."""
    if start and (now := start_of(pid)):
        return now == start
    try:
        return born_then(psutil.Process(pid).create_time())
    except (psutil.Error, OSError, TypeError, ValueError):
        return False
