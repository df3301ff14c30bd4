"""Moments of a recording that somebody marked, kept in a small file beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Bookmarks:
    """Times in UTC nanoseconds, sorted. `trouble`: why they could not be read or kept, in words, or ''."""

    def __init__(self, recording: Path) -> None:
        self.path = recording.with_name(recording.name + ".marks.json")
        self.trouble = ""
        self.times: list[int] = self._read()

    def toggle(self, t_ns: int, near_ns: int) -> bool:
        """Mark a moment, or take away the marks within `near_ns` of it. Whether it is marked now."""
        left = [time for time in self.times if abs(time - t_ns) > near_ns]
        marked = len(left) == len(self.times)
        self.times = sorted([*left, t_ns]) if marked else left
        self._keep()
        return marked

    def next(self, t_ns: int, *, backwards: bool = False) -> int | None:
        """The nearest mark after a moment, or before it."""
        beyond = [time for time in self.times if (time < t_ns if backwards else time > t_ns)]
        return (max if backwards else min)(beyond, default=None)

    def _read(self) -> list[int]:
        try:
            return sorted(msgspec.json.decode(self.path.read_bytes(), type=list[int]))
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            self.trouble = f"bookmarks in {self.path} cannot be read: {error}"
            return []

    def _keep(self) -> None:
        try:
            self.path.write_bytes(msgspec.json.encode(self.times))
        except OSError as error:
            self.trouble = f"bookmarks are not kept: {self.path}: {error.strerror}"
