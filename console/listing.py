"""Recorded runs as lines for a person or as JSON rows for a script."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from radixdeck.storage.listing import RunSummary

from .words import command_line


def rows(runs: list[RunSummary]) -> Iterator[str]:
    """One JSON object per run."""
    for run in runs:
        yield msgspec.json.encode(run, enc_hook=str).decode()


def lines(runs: list[RunSummary]) -> Iterator[str]:
    """A table, or a sentence that says how to get a first recording."""
    if not runs:
        yield f"no recordings yet: `{command_line('serve')}` makes one per run"
        return
    yield f"{'started (UTC)':19}  {'length':>8}  {'requests':>8}  {'hit rate':>8}  {'MB':>7}  recording"
    for run in runs:
        yield _broken(run) if run.error else _line(run)


def _line(run: RunSummary) -> str:
    minutes, seconds = divmod(int(run.duration_s), 60)
    length = f"{minutes}:{seconds:02d}" + (" live" if run.live else "")
    rate = f"{run.hit_rate:8.1%}" if run.requests else f"{'-':>8}"
    return f"{_started(run):19}  {length:>8}  {run.requests:8d}  {rate}  {run.size_bytes / 1e6:7.1f}  {run.path}"


def _broken(run: RunSummary) -> str:
    return f"{'?':19}  {'':8}  {'':8}  {'':8}  {run.size_bytes / 1e6:7.1f}  {run.path}: {run.error}"


def _started(run: RunSummary) -> str:
    if run.info is None:
        return "?"
    return datetime.fromtimestamp(run.info.started_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
