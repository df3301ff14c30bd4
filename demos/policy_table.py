"""`python -m radixdeck.demos.policy_table`: what each policy is worth, from its newest records, as a table in Markdown.

A row is a case, with every number that it is judged by; `--brief`: with the first of them and those whose floors it
misses. It is shown by the newest record of it as it is now: one that was run with other tunables or fewer requests is
not taken. A floor kept by less than the standard error of the mean is said to be. Printed, or written into a file
between two comment markers, the first of which names the records.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .bench_record import RecordError
from .marked import Tables
from .policy_cases import CASES
from .policy_record import KIND, read, settings_of
from .policy_verdict import Told, judge, shown
from .report import HISTORY, history


def newest(folder: Path) -> list[Path]:
    """The records that the table needs, oldest first. Raises RecordError if there is none, or OSError."""
    records = [folder / str(line["file"]) for line in history(folder) if str(line["kind"]).startswith(KIND)]
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


def render(records: Sequence[Path], *, brief: bool = False) -> str:
    """The table. Raises RecordError or OSError."""
    lines = ["| policy | case | off → on: change (floor) | floors |", f"|{4 * '---|'}"]
    shown_of = _shown(records)
    for policy in sorted(CASES):
        label = f"`{policy}`"
        for case in CASES[policy]:
            if (found := shown_of.get((policy, case.name))) is not None:
                lines.append(_row(label, found[1], brief))
                label = ""
    return "\n".join(lines)


def _row(policy: str, told: Told, brief: bool) -> str:
    judged = [measure for measure in told.units if told.floor(measure)]
    shown_of = [*judged[:1], *filter(told.missed, judged[1:])] if brief else list(told.units)
    numbers = "<br>".join(_number(told, measure, told.units[measure]) for measure in shown_of)
    return f"| {policy} | {told.case}, n={len(told.pairs)} | {numbers} | {_kept(told, judged)} |"


def _kept(told: Told, judged: Sequence[str]) -> str:
    """The verdict in a word, and of how many floors it is doubtful."""
    verdict = judge(told)
    if verdict.faults or verdict.missed:
        return "**doubtful**" if verdict.faults else f"**missed**: {len(verdict.missed)} of {len(judged)}"
    near = sum(map(told.within_error, judged))
    return (f"kept, {near} of {len(judged)} within error" if near else "kept") if judged else ""


def _number(told: Told, measure: str, unit: str) -> str:
    """Such as 'requests/s 3 → 4 /s: +33.3 % ±2.0 (at least +20 %)'; in bold if the floor was missed."""
    off, on = (_short(told.mean(measure, on=on)) for on in (False, True))
    floor = told.floor(measure)
    words = f"{measure} {off} → {on}{'' if measure.endswith(unit) else f' {unit}'}: {shown(told, measure)}"
    near = "; within error" if told.within_error(measure) else ""
    words += f" ({floor.words(unit)}{near})" if floor else ""
    return f"**{words}**" if told.missed(measure) else words


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


TABLES = Tables("policies", newest, lambda records, brief: render(records, brief=brief))


def main(arguments: Sequence[str] | None = None) -> int:
    """See Tables.main."""
    return TABLES.main("policy_table", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
