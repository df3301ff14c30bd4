"""`python -m radixdeck.demos.policy_table`: what each policy is worth, from its newest records, as a table in Markdown.

A row is a case, with every number that it is judged by. It is shown by the newest record of it as it is now: one that
was run with other tunables or fewer requests is not taken. Printed, or written into a file between two comment markers,
the first of which names the records.
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
from .policy_cases import CASES
from .policy_record import KIND, read, settings_of
from .policy_verdict import Told, judge, shown
from .readme_table import MarkerError
from .report import HISTORY, RESULTS

BEGIN, END = "<!-- policies of {} -->", "<!-- end of policies -->"
_BLOCK = re.compile(r"<!-- policies of (.*?) -->\n(.*?)\n?<!-- end of policies -->", re.S)


def newest(folder: Path) -> list[Path]:
    """The records that the table needs, oldest first. Raises RecordError if there is none, or OSError."""
    lines: list[dict[str, Any]] = [msgspec.json.decode(line) for line in (folder / HISTORY).read_bytes().splitlines()]
    records = [folder / str(line["file"]) for line in lines if str(line["kind"]).startswith(KIND)]
    needed = {path for path, _ in _shown(records).values()}
    if not needed:
        raise RecordError(f"{folder / HISTORY}: no bench of a policy's case as it is now")
    return [path for path in records if path in needed]


def _shown(records: Sequence[Path]) -> dict[tuple[str, str], tuple[Path, Told]]:
    """By policy and case: the last of `records` that measured this case as it is now. Raises RecordError or OSError."""
    found: dict[tuple[str, str], tuple[Path, Told]] = {}
    for path in records:
        record, told = read(path)
        policy = str(record.settings["policy"])
        now = {case.name: settings_of(case) for case in CASES.get(policy, ())}
        for one in told:
            if one.pairs and one.case in now and now[one.case] == record.settings["cases"].get(one.case):
                found[policy, one.case] = path, one
    return found


def render(records: Sequence[Path]) -> str:
    """The table. Raises RecordError or OSError."""
    lines = ["| policy | case | off → on: change (floor) | floors |", f"|{4 * '---|'}"]
    shown_of = _shown(records)
    for policy in sorted(CASES):
        label = f"`{policy}`"
        for case in CASES[policy]:
            if (found := shown_of.get((policy, case.name))) is not None:
                lines.append(_row(label, found[1]))
                label = ""
    return "\n".join(lines)


def _row(policy: str, told: Told) -> str:
    verdict = judge(told)
    kept = "**doubtful**" if verdict.faults else "**missed**" if verdict.missed else "kept" if told.floors else ""
    numbers = "<br>".join(_number(told, measure, unit) for measure, unit in told.units.items())
    return f"| {policy} | {told.case}, n={len(told.pairs)} | {numbers} | {kept} |"


def _number(told: Told, measure: str, unit: str) -> str:
    """Such as 'requests/s 3 → 4 /s: +33.3 % ±2.0 (at least +20 %)'; in bold if the floor was missed."""
    off, on = (_short(told.mean(measure, on=on)) for on in (False, True))
    floor = told.floor(measure)
    words = f"{measure} {off} → {on}{'' if measure.endswith(unit) else f' {unit}'}: {shown(told, measure)}"
    words += f" ({floor.words(unit)})" if floor else ""
    return f"**{words}**" if told.missed(measure) else words


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


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
