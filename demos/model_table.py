"""`python -m radixdeck.demos.model_table`: what eviction by policy reaches in the model, from the newest records.

Two tables in Markdown: kinds of traffic, and the targets of the project, `--brief`: those that are missed. A kind of
traffic is shown by the newest record in which every baseline and every hint ran on it with the reporting seeds, on no
less than in those before; a target by the newest that judges it, one about all traffic by the worst. Printed, or
written into a file between two comment markers, the first of which names the records.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .bench_model_judge import EVERYWHERE, Row, Summary
from .bench_model_ways import AGENTS, ENDS, LRU_PAGES, NEXT, OURS, baselines
from .bench_record import RecordError
from .families import GARBAGE, LOGS, MANY, NON_STATIONARY, PER_TASK, PLAIN
from .marked import Tables
from .report import HISTORY, Record, history
from .workloads import REPORT_SEEDS

TITLES = {
    NON_STATIONARY: "roster or topology changes halfway", PER_TASK: "prompts written per task", MANY: "200 agents",
    LOGS: "real logs (Who&When)", PLAIN: "plain conversations, Mooncake's trace among them",
    GARBAGE: "ids that do not hold",
}  # fmt: skip
RULES = {
    "cachesage": "CacheSage", "cachescout": "CacheScout", "cachescout_sessions": "CacheScout per session",
    "kvflow": "KVFlow", "lfu": "LFU", LRU_PAGES: "LRU page by page", "protect_shared": "shared prefixes protected",
    "slru": "SLRU", "ttl_pinning": "TTL pinning",
}  # fmt: skip
ALL = "**all of these**"
Told = dict[str, dict[str, Summary]]
"""By kind of traffic and way."""


def newest(folder: Path) -> list[Path]:
    """The records that the tables need, oldest first. Raises RecordError if there is none, or OSError."""
    records = [folder / str(line["file"]) for line in history(folder) if line["kind"] == "model"]
    shown: dict[str, tuple[int, Path]] = {}
    judged: dict[str, Path] = {}
    for path in records:
        settings, traffic, rows = _read(path)
        if settings["quick"] or tuple(settings["seeds"]) != REPORT_SEEDS or not traffic:
            continue
        for family, ways in traffic.items():
            if ways[OURS].cells >= shown.get(family, (0, path))[0]:
                shown[family] = ways[OURS].cells, path
        judged |= {row.what: path for row in rows if row.what not in EVERYWHERE}
    if not shown:
        raise RecordError(f"{folder / HISTORY}: no bench of the model with every baseline and the reporting seeds")
    needed = {path for _, path in shown.values()} | set(judged.values())
    return [path for path in records if path in needed]


def _read(path: Path) -> tuple[dict[str, Any], Told, list[Row]]:
    """Settings of a record, what each way reached of the traffic on which all ran that the tables show, and the targets
    that were measured."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        summaries = msgspec.convert(record.results["ways"], list[Summary])
        rows = msgspec.convert(record.verdict["targets"], list[Row])
    except (msgspec.DecodeError, KeyError) as error:
        raise RecordError(f"{path.name}: not a record of the modelled bench: {error}") from error
    needed = {way.label for way in baselines(quick=False)} | {OURS, ENDS, NEXT}
    found: Told = {}
    for summary in summaries:
        found.setdefault(summary.family, {})[summary.way] = summary
    traffic = {family: ways for family, ways in found.items() if ways.keys() >= needed}
    return record.settings, traffic, [row for row in rows if row.met is not None]


def render(records: Sequence[Path], *, brief: bool = False) -> str:
    """Both tables. Raises RecordError or OSError."""
    told = [_read(path) for path in records]
    shown = {family: ways for _, traffic, _ in told for family, ways in traffic.items()}
    rows = [row for _, _, rows in told for row in rows]
    longest_first = sorted((of_record for _, _, of_record in told), key=len, reverse=True)
    order = [row.what for of_record in longest_first for row in of_record]  # whichever record is the newest
    return "\n".join([*_traffic(shown), "", *_targets(sorted(rows, key=lambda row: order.index(row.what)), brief)])


def _traffic(shown: Told) -> list[str]:
    lines = [
        "| traffic | closed of the gap | points | best other rule | ends told | next agent too | worst trace |",
        f"|{7 * '---|'}",
    ]
    agents = [family for family in AGENTS if family in shown]
    lines += [_line(TITLES.get(family, family), [shown[family]]) for family in agents]
    if len(agents) == len(AGENTS):
        lines.append(_line(ALL, [shown[family] for family in agents]))
    return lines + [
        _line(title, [shown[name]]) for name, title in TITLES.items() if name in shown and name not in AGENTS
    ]


def _line(title: str, told: Sequence[dict[str, Summary]]) -> str:
    """Of one kind of traffic, or the mean of several."""

    def gap(way: str) -> float:
        return statistics.fmean(ways[way].gap for ways in told)

    points = statistics.fmean(ways[OURS].hit - ways[OURS].lru for ways in told)
    spread = f" ±{told[0][OURS].spread:.1f}" if len(told) == 1 else ""
    best = max((way.label for way in baselines(quick=False)), key=gap)
    worst = min(ways[OURS].worst for ways in told)
    cells = [
        title, f"**{gap(OURS):.1f} %**{spread}", f"{points:+.1f}", f"{RULES.get(best, best)} {gap(best):.0f} %",
        f"{gap(ENDS):.0f} %", f"{gap(NEXT):.0f} %", f"{worst:+.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _targets(rows: Iterable[Row], brief: bool) -> list[str]:
    """`rows`: of all records, of each target the oldest first."""
    decisive: dict[str, Row] = {}
    for row in rows:
        before = decisive.get(row.what)
        if before is None or row.what not in EVERYWHERE or _rank(row) < _rank(before):
            decisive[row.what] = row
    missed = [row for row in decisive.values() if not row.met]
    reached = f"{len(decisive) - len(missed)} of {len(decisive)} targets are reached"
    if brief:
        wanted = [
            f"- {row.what}: {row.value} (wanted: {_goal(row)}){f'; {row.where}' * bool(row.where)}" for row in missed
        ]
        return [f"{reached}. Missed:", "", *wanted] if missed else [f"{reached}."]
    return [f"{reached}:", "", "| target | | measured | |", f"|{4 * '---|'}", *map(_target, decisive.values())]


def _rank(row: Row) -> tuple[bool, float]:
    """Missed ones first, then by the lowest number that was measured."""
    numbers = [float(number) for number in re.findall(r"[+-]?\d+(?:\.\d+)?", row.value)]
    return bool(row.met), min(numbers, default=0.0)


def _target(row: Row) -> str:
    return f"| {row.what} | {_goal(row)} | {row.value} | {'reached' if row.met else '**missed**'} |"


def _goal(row: Row) -> str:
    return row.target.replace(">= ", "at least ").replace("> ", "above ")


TABLES = Tables("model", newest, lambda records, brief: render(records, brief=brief))


def main(arguments: Sequence[str] | None = None) -> int:
    """See Tables.main."""
    return TABLES.main("model_table", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
