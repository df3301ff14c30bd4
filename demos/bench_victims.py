"""What choosing a victim costs, written down: runs `radixdeck.daemon.engine.bench_victims` and keeps its table.

The measurement needs SGLang in its process and runs in a child of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table

MODULE = "radixdeck.daemon.engine.bench_victims"


class VictimsError(RuntimeError):
    """The measurement failed or said something unexpected. The message carries its last words."""


class Row(msgspec.Struct, frozen=True):
    """Median microseconds to evict one leaf of a tree of `nodes` whose leaves belong to `subjects` sessions."""

    nodes: int
    subjects: int
    ours_us: int
    sglang_python_us: int
    sglang_rust_us: int


def run(command: Sequence[str]) -> list[Row]:
    """Rows of the table that `command` prints. Raises VictimsError, or OSError if it cannot be started."""
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or "no words").splitlines()[-1]
        raise VictimsError(f"{MODULE} ended with {done.returncode}: {last}")
    return parse(done.stdout)


def parse(printed: str) -> list[Row]:
    """Rows of a printed table; lines that do not begin with a number are headings. Raises VictimsError."""
    lines = [line for line in printed.splitlines() if line.split() and line.split()[0].isdecimal()]
    if not lines:
        raise VictimsError(f"{MODULE} printed no table")
    return [_row(line) for line in lines]


def _row(line: str) -> Row:
    try:
        return Row(*(int(cell) for cell in line.split()))
    except (ValueError, TypeError) as error:
        raise VictimsError(f"{MODULE} printed {line!r}, which is not a row of its table") from error


def text(rows: Sequence[Row]) -> str:
    header = ["nodes", "subjects", "ours, µs", "SGLang Python, µs", "SGLang Rust, µs"]
    return table(header, [[f"{cell:,}" for cell in msgspec.structs.astuple(row)] for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 measured, 2 could not run, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_victims", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    out: Path = parser.parse_args(arguments).out
    progress = Progress()
    progress.say("evicting from trees of 1,000 to 100,000 nodes (a few minutes)")
    try:
        rows = run((sys.executable, "-m", MODULE))
        record = Record(kind="victims", at=now_utc(), machine=machine(), settings={},
                        results={"rows": msgspec.to_builtins(rows)})  # fmt: skip
        progress.say(f"record: {save(record, out)}")
    except (VictimsError, OSError) as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        progress.say("bench: stopped, nothing recorded")
        return 130
    print(text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
