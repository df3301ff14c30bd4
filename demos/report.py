"""What stays of a measurement: a table to read, a JSON record, a line in the history. Nothing is ever overwritten."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

RESULTS = Path(__file__).parent / "results"
HISTORY = "history.jsonl"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, numbers to the right."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join([cells[0].ljust(widths[0]), *padded]).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def machine() -> dict[str, Any]:
    """What it ran on, as far as numbers depend on it; no names of people, hosts or folders."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "gpu": _gpu(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str:
    """Name of the first GPU as its driver says it; '' without one."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.partition("\n")[0].strip()


def _commit() -> str:
    """Short hash of the sources, with '+' if they were changed since; '' outside a checkout."""
    asked = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def now_utc() -> str:
    """ISO time of now, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Record(msgspec.Struct, kw_only=True):
    """One measurement. `settings`: everything needed to run it again; `verdict`: floors met or not, in words."""

    kind: str
    at: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    results: dict[str, Any]
    verdict: dict[str, Any] = {}


def save(record: Record, folder: Path) -> Path:
    """Write `<kind>-<time>.json` under `folder` and append the record to its history. Returns the file's path.

    A name that is taken gets a number; no file is replaced. Raises OSError if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{record.kind}-{record.at.replace(':', '').replace('-', '')}"
    path = _write_new(folder, stem, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    with (folder / HISTORY).open("ab") as history:
        history.write(msgspec.json.encode({"file": path.name, **msgspec.to_builtins(record)}) + b"\n")
    return path


def history(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's history, oldest first: a Record's fields, and its file's name as `file`. Raises OSError
    if there is none."""
    return [msgspec.json.decode(line) for line in (folder / HISTORY).read_bytes().splitlines()]


def _write_new(folder: Path, stem: str, content: bytes) -> Path:
    number = 1
    while True:
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            with path.open("xb") as file:
                file.write(content)
            return path
        except FileExistsError:
            number += 1


def points(value: float) -> str:
    """A rate as percent with one decimal."""
    return f"{100 * value:.1f}"


def milliseconds(value_s: float) -> str:
    return f"{1000 * value_s:.0f}"
