"""`python -m radixdeck.demos.policy_table`: what each policy is worth, from its newest record, as a table in Markdown.

Printed, or written into a file between two comment markers, the first of which names the records.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .bench_record import RecordError
from .policy_record import KIND, read
from .policy_verdict import Told, judge, shown
from .readme_table import MarkerError
from .report import HISTORY, RESULTS

BEGIN, END = "<!-- policies of {} -->", "<!-- end of policies -->"
_BLOCK = re.compile(r"<!-- policies of (.*?) -->\n(.*?)\n?<!-- end of policies -->", re.S)


def newest(folder: Path) -> list[Path]:
    """The last record of each policy in the history, by name. Raises RecordError if there is none, or OSError."""
    found: dict[str, Path] = {}
    for line in (folder / HISTORY).read_bytes().splitlines():
        told: dict[str, Any] = msgspec.json.decode(line)
        if str(told["kind"]).startswith(KIND):
            found[told["kind"]] = folder / told["file"]
    if not found:
        raise RecordError(f"{folder / HISTORY}: no bench of a policy")
    return [found[kind] for kind in sorted(found)]


def render(records: Sequence[Path]) -> str:
    """The table. Raises RecordError or OSError."""
    lines = ["| policy | case | measure | off | on | change | floor |", f"|{7 * '---|'}"]
    for path in records:
        record, told = read(path)
        policy = f"`{record.settings['policy']}`"
        for one in told:
            if one.pairs:
                lines += _rows(policy, one)
                policy = ""
    return "\n".join(lines)


def _rows(policy: str, told: Told) -> list[str]:
    verdict = judge(told)
    case = f"{told.case}, n={len(told.pairs)}" + (" **doubtful**" if verdict.faults else "")
    rows: list[str] = []
    for measure, unit in told.units.items():
        off, on = (f"{told.mean(measure, on=on):.4g}" for on in (False, True))
        floor = told.floor(measure)
        change = shown(told, measure) + (" **missed**" if told.missed(measure) else "")
        cells = [policy, case, f"{measure}, {unit}", off, on, change, floor.words(unit) if floor else ""]
        rows.append(f"| {' | '.join(cells)} |")
        policy = case = ""
    return rows


def replaced(text: str, records: Sequence[Path]) -> str:
    """The file with the table of `records`. Raises MarkerError, RecordError or OSError."""
    if not _BLOCK.search(text):
        raise MarkerError(f"no {BEGIN.format('RECORD.json')!r} with {END!r} after it")
    block = f"{BEGIN.format(' '.join(path.name for path in records))}\n{render(records)}\n{END}"
    return _BLOCK.sub(lambda _: block, text, count=1)


def named_in(text: str) -> list[str]:
    """Names of the records that a file's table is of. Raises MarkerError."""
    if not (found := _BLOCK.search(text)):
        raise MarkerError(f"no {BEGIN.format('RECORD.json')!r} with {END!r} after it")
    return found[1].split()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write it, or look whether it is up to date. Exit codes: 0 done, 1 it is not, 2 could not."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.policy_table", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of records [demos/results]")
    parser.add_argument("--into", type=Path, help="write it into this file, between the markers")
    parser.add_argument("--check", action="store_true", help="only compare it with the records that the file names")
    told = parser.parse_args(arguments)
    try:
        if told.into is None:
            print(render(newest(told.results)))
            return 0
        before = told.into.read_text(encoding="utf-8")
        if told.check:
            return 0 if before == replaced(before, [told.results / name for name in named_in(before)]) else 1
        told.into.write_text(replaced(before, newest(told.results)), encoding="utf-8")
    except (MarkerError, RecordError, OSError) as error:
        print(f"policy_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
