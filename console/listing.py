"""Recorded runs as lines for a person or as JSON rows for a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from radixdeck.storage.files import SUFFIX
from radixdeck.storage.listing import RunSummary

from .words import command_line


def rows(runs: list[RunSummary]) -> Iterator[str]:
    """One JSON object per run."""
    for run in runs:
        yield msgspec.json.encode(run, enc_hook=str).decode()


def lines(runs: list[RunSummary], folder: Path) -> Iterator[str]:
    """The user's own recordings as a table, by the names that other commands take them by; or a sentence that says how
    to get a first one."""
    if not runs:
        yield f"no recordings yet in {folder}: `{command_line('serve')}` makes one per run"
        return
    yield from _table(runs, {run.path: run.path.stem for run in runs})
    yield f"in {folder}; to look at one: {command_line('replay', runs[0].path.stem)}"


def lines_of_folder(runs: list[RunSummary], folder: Path) -> Iterator[str]:
    """The recordings of any other folder as a table, by their paths."""
    if not runs:
        yield f"{folder}: no *{SUFFIX} here"
        return
    yield from _table(runs, {run.path: str(run.path) for run in runs})


def _table(runs: list[RunSummary], called: Mapping[Path, str]) -> Iterator[str]:
    yield f"{'started (UTC)':19}  {'length':>8}  {'requests':>8}  {'hit rate':>8}  {'MB':>7}  recording"
    for run in runs:
        yield _broken(run, called[run.path]) if run.error else _line(run, called[run.path])


def _line(run: RunSummary, name: str) -> str:
    minutes, seconds = divmod(int(run.duration_s), 60)
    length = f"{minutes}:{seconds:02d}" + (" live" if run.live else "")
    rate = f"{run.hit_rate:8.1%}" if run.requests else f"{'-':>8}"
    return f"{_started(run):19}  {length:>8}  {run.requests:8d}  {rate}  {run.size_bytes / 1e6:7.1f}  {name}"


def _broken(run: RunSummary, name: str) -> str:
    why = run.error.removeprefix(f"{run.path}: ")
    return f"{'?':19}  {'':8}  {'':8}  {'':8}  {run.size_bytes / 1e6:7.1f}  {name}: {why}"


def _started(run: RunSummary) -> str:
    if run.info is None:
        return "?"
    return datetime.fromtimestamp(run.info.started_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
