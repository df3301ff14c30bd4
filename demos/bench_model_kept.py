"""Streams of the modelled bench that are through, kept in a file: a run takes hours, one that was stopped goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .bench_model_cells import Cell, Task
from .report import machine


class Line(msgspec.Struct, frozen=True):
    """One line of the file. `key`: all that its cells depend on."""

    key: str
    cells: list[Cell]


class Kept:
    """A file of JSON lines, made when it is not there. A line that cannot be read, such as one that a killed run left
    half written, counts as not there: its stream is run again."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file cannot be read or made."""
        self._path = path
        self._commit = machine()["commit"]
        path.touch()
        self._found: dict[str, list[Cell]] = {}
        for text in path.read_bytes().splitlines():
            try:
                line = msgspec.json.decode(text, type=Line)
            except msgspec.DecodeError:
                continue
            self._found[line.key] = line.cells

    def cells(self, task: Task) -> list[Cell] | None:
        """What came of a task, None if it was not run by this code. Code that differs from its commit is not known."""
        known = self._commit and not self._commit.endswith("+")
        return self._found.get(self._key(task)) if known else None

    def keep(self, task: Task, cells: list[Cell]) -> None:
        """Raises OSError if there is no room."""
        with self._path.open("ab") as file:
            file.write(b"\n" + msgspec.json.encode(Line(self._key(task), cells)) + b"\n")

    def _key(self, task: Task) -> str:
        traces = str(task.traces.absolute()) if task.traces is not None else ""
        told = (self._commit, task.family, task.variant, task.seed, task.requests, task.ways, task.budgets, traces)
        return msgspec.json.encode(told).decode()
