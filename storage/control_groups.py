"""Memory left in the control groups that this process runs in, as containers and services do (Linux, cgroups(7)): a
machine may have more than they may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By controller, as /proc/self/cgroup names it: limit, usage, and what of that is only cached from files, as
`memory.stat` calls it. Version 2 has no names for controllers."""


def left_bytes(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Bytes to a limit, one for each group above this process that has one; none where there are no groups."""
    for line in _text(own).splitlines():
        _, controller, path = [*line.split(":", 2), "", ""][:3]
        if controller in _FILES:
            top = root / controller
            group = top / path.strip("/")
            for folder in (group, *group.parents):  # a container may see its own group as the top
                yield from _left(folder, *_FILES[controller])
                if folder == top:
                    break


def _left(folder: Path, limit: str, usage: str, cached: str) -> Iterator[int]:
    most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
    if most.isdecimal() and used.isdecimal():  # no limit is the word 'max'
        told = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
        again = told.get(cached, "0").strip()
        yield max(0, int(most) - int(used) + (int(again) if again.isdecimal() else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
