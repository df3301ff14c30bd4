"""`python -m radixdeck.demos.readme_table`: renders results from records, each between comment markers: in brief into
the README, whole into docs/benchmarks.md.

The first of two markers names the record, so that anybody can see, and a test does, whether a page says what it says.
The first results of a page are those of the newest full record; what comes after, as of another machine, keeps its
record.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from .bench_record import NAMES, RecordError, read
from .marked import MarkerError
from .named import NAMED
from .report import HISTORY, RESULTS, Record, history, milliseconds, points
from .versus import SIDES, Comparison, judge

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
BEGIN, END = "<!-- results {}of {} -->", "<!-- end of results -->"
BRIEF = "in brief "
_BLOCK = re.compile(r"<!-- results (in brief )?of (\S+) -->\n(.*?)\n<!-- end of results -->", re.S)


class Block(NamedTuple):
    """Results in a page, and the name of the record that they are of."""

    brief: bool
    record: str
    results: str


def render(record: Path, *, brief: bool = False) -> str:
    """The tables of a record in Markdown. Raises RecordError or OSError."""
    told = read(record)
    tight = [one for one in told if one.tight and one.repetitions]
    grown = [one for one in told if not one.tight and one.repetitions]
    lines = [_origin(record, tight), "", *(_brief_table if brief else _tight_table)(tight)]
    if grown and brief:
        lines += _where_all_fits(grown)
    elif grown:
        lines += ["", "Hit rate as memory grows, one run each:", "", *_growth_table([*tight, *grown])]
    return "\n".join(lines)


def _brief_table(told: Sequence[Comparison]) -> list[str]:
    """A line for each workload: from what SGLang's own cache reaches to what ours does."""
    rows = ["| workload | KV tokens | hit rate | bound | mean TTFT | requests/s |", f"|{6 * '---|'}"]
    for one in told:
        hits, times, served = (
            [show(one.mean(side, name)) for side in SIDES]
            for name, show in (("hit_rate", points), ("ttft_mean_s", milliseconds), ("requests_per_s", _hundredths))
        )
        change_hits, change_ttft, _, _, change_served = _change(one)
        rows.append(
            _row([
                one.name, f"{one.kv_tokens:,}", f"{' → '.join(hits)} %: {change_hits}", f"{points(one.bound)} %",
                f"{' → '.join(times)} ms: {change_ttft}", f"{' → '.join(served)}: {change_served}",
            ])
        )  # fmt: skip
    return rows


def _hundredths(value: float) -> str:
    return f"{value:.2f}"


def _where_all_fits(grown: Sequence[Comparison]) -> list[str]:
    """What is lost where there is nothing to win, [] if that was not run."""
    runs = [run for one in grown for run in one.repetitions if run.sglang.hit_rate >= run.bound.hit_rate - 0.001]
    if not runs:
        return []
    slower = [run.ttft_percent for run in runs]
    hits = max(abs(run.hit_points) for run in runs)
    return [
        "",
        f"Where memory holds everything, hit rates are the same (within {hits:.1f} points), and mean TTFT is "
        f"{statistics.fmean(slower):+.1f} % ({min(slower):+.1f} to {max(slower):+.1f} in {len(runs)} runs): what the "
        "daemon costs, and chance.",
    ]


def _origin(record: Path, tight: Sequence[Comparison]) -> str:
    told = msgspec.json.decode(record.read_bytes(), type=Record)
    seeds = ", ".join(str(seed) for seed in told.settings["seeds"])
    commit = str(told.machine["commit"])
    device = told.machine.get("gpu") or f"{told.machine['processor']}, {told.machine['cores']} cores"
    where = f"{device}, commit `{commit.removesuffix('+')}`"
    where += " with uncommitted changes" if commit.endswith("+") else ""
    runs = max((len(one.repetitions) for one in tight), default=0)
    what = f"Means of {runs} runs (seeds {seeds}), spread behind ±" if runs > 1 else f"One run each (seed {seeds})"
    return f"{what}; {where}, `{record.name}`."


def _tight_table(told: Sequence[Comparison]) -> list[str]:
    rows = ["| workload | KV tokens | cache | hit rate | mean TTFT | p50 | p95 | requests/s |", f"|{8 * '---|'}"]
    for one in told:
        for side in SIDES:
            times = [f"{milliseconds(one.mean(side, f'ttft_{name}_s'))} ms" for name in ("mean", "p50", "p95")]
            rate = f"{points(one.mean(side, 'hit_rate'))} %"
            first = [one.name, f"{one.kv_tokens:,}"] if side == "sglang" else ["", ""]
            rate = f"**{rate}** (bound {points(one.bound)} %)" if side == "radixdeck" else rate
            rows.append(_row([*first, NAMES[side], rate, *times, f"{one.mean(side, 'requests_per_s'):.2f}"]))
        rows.append(_row(["", "", "change", *_change(one)]))
    return rows


def _change(one: Comparison) -> list[str]:
    """What changes, each with the floor that it misses, if it does."""
    verdict = judge(one)
    doubtful = " **doubtful**" if verdict.faults else ""

    def cell(name: str, unit: str, floor: str) -> str:
        value, by = one.spread(name)
        spread = f" ±{by:.1f}" if len(one.repetitions) > 1 else ""
        missed = " **missed**" if any(words.startswith(floor) for words in verdict.missed) else ""
        return f"{value:+.1f} {unit}{spread}{missed}"

    hits = cell("hit_points", "points", "hit rate") + doubtful
    ttft = cell("ttft_percent", "%", "mean TTFT")
    return [hits, ttft, "", "", cell("throughput_percent", "%", "throughput")]


def _growth_table(told: Sequence[Comparison]) -> list[str]:
    """Every workload at every size, on the seed that all sizes have."""
    rows = ["| workload | KV tokens | SGLang's own | radixdeck | bound | mean TTFT |", "|---|---|---|---|---|---|"]
    names = list(dict.fromkeys(one.name for one in told))
    for one in sorted(told, key=lambda one: (names.index(one.name), one.kv_tokens)):
        run = one.repetitions[0]
        rates = [f"{points(rate)} %" for rate in (run.sglang.hit_rate, run.radixdeck.hit_rate, run.bound.hit_rate)]
        rows.append(_row([one.name, f"{one.kv_tokens:,}", *rates, f"{run.ttft_percent:+.1f} %"]))
    return rows


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def blocks(text: str) -> list[Block]:
    """A page's results, in order. Raises MarkerError for none."""
    if not (found := _BLOCK.findall(text)):
        raise MarkerError(f"no {BEGIN.format('', 'RECORD.json')!r} with {END!r} after it")
    return [Block(bool(brief), record, results) for brief, record, results in found]


def replaced(text: str, record: Path) -> str:
    """The page with the results of `record` in the first place. Raises MarkerError, RecordError or OSError."""
    brief = blocks(text)[0].brief
    block = f"{BEGIN.format(BRIEF if brief else '', record.name)}\n{render(record, brief=brief)}\n{END}"
    return _BLOCK.sub(lambda _: block, text, count=1)


def newest(folder: Path) -> Path:
    """The last full benchmark of the history, of all named workloads. Raises RecordError if there is none, OSError if
    there is no history."""
    for told in reversed(history(folder)):
        if told["kind"] == "bench" and not told["settings"].get("quick"):
            measured = {one["name"] for one in told["results"].get("workloads", ())}
            if measured.issuperset(NAMED):
                return folder / told["file"]
    raise RecordError(f"{folder / HISTORY}: no full benchmark of the named workloads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or only look at them. Exit codes: 0 they are up to date, 1 they are not, 2 could not tell."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.readme_table", description=__doc__)
    parser.add_argument("--record", type=Path, help="render this record in the first place [the newest full one]")
    parser.add_argument("--check", action="store_true", help="compare with the records that the pages name")
    parser.add_argument("--page", type=Path, action="append", help="[README.md and docs/benchmarks.md]")
    told = parser.parse_args(arguments)
    current = True
    try:
        for page in told.page or PAGES:
            before = page.read_text(encoding="utf-8")
            if told.check:
                current &= all(one.results == render(RESULTS / one.record, brief=one.brief) for one in blocks(before))
            else:
                page.write_text(replaced(before, told.record or newest(RESULTS)), encoding="utf-8")
    except (MarkerError, RecordError, OSError) as error:
        print(f"readme_table: {error}", file=sys.stderr)
        return 2
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
