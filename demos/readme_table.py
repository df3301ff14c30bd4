"""`python -m radixdeck.demos.readme_table`: renders the README's results from records, each between comment markers.

The first of two markers names the record, so that anybody can see, and a test does, whether the README says what it
says. The first results are those of the newest full record; what comes after, as of another machine, keeps its record.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .bench_record import NAMES, RecordError, read
from .marked import MarkerError
from .named import NAMED
from .report import HISTORY, RESULTS, Record, milliseconds, points
from .versus import SIDES, Comparison, judge

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- results of {} -->", "<!-- end of results -->"
_BLOCK = re.compile(r"<!-- results of (\S+) -->\n(.*?)\n<!-- end of results -->", re.S)


def render(record: Path) -> str:
    """The tables of a record in Markdown. Raises RecordError or OSError."""
    told = read(record)
    tight = [one for one in told if one.tight and one.repetitions]
    grown = [one for one in told if not one.tight and one.repetitions]
    lines = [_origin(record, tight), "", *_tight_table(tight)]
    if grown:
        lines += ["", "Hit rate as memory grows, one run each:", "", *_growth_table([*tight, *grown])]
    return "\n".join(lines)


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


def named_in(text: str) -> list[tuple[str, str]]:
    """Names of the records that a README's results are of, and the results, in order. Raises MarkerError for none."""
    if not (found := _BLOCK.findall(text)):
        raise MarkerError(f"no {BEGIN.format('RECORD.json')!r} with {END!r} after it")
    return found


def replaced(text: str, record: Path) -> str:
    """The README with the results of `record` in the first place. Raises MarkerError, RecordError or OSError."""
    named_in(text)
    block = f"{BEGIN.format(record.name)}\n{render(record)}\n{END}"
    return _BLOCK.sub(lambda _: block, text, count=1)


def newest(folder: Path) -> Path:
    """The last full benchmark of the history, of all named workloads. Raises RecordError if there is none, OSError if
    there is no history."""
    for line in reversed((folder / HISTORY).read_bytes().splitlines()):
        told: dict[str, Any] = msgspec.json.decode(line)
        if told["kind"] == "bench" and not told["settings"].get("quick"):
            measured = {one["name"] for one in told["results"].get("workloads", ())}
            if measured.issuperset(NAMED):
                return folder / told["file"]
    raise RecordError(f"{folder / HISTORY}: no full benchmark of the named workloads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the README, or only look at it. Exit codes: 0 it is up to date now, 1 it is not, 2 could not tell."""
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.readme_table", description=__doc__)
    parser.add_argument("--record", type=Path, help="render this record in the first place [the newest full one]")
    parser.add_argument("--check", action="store_true", help="compare with the records that the README names")
    parser.add_argument("--readme", type=Path, default=README)
    told = parser.parse_args(arguments)
    try:
        before = told.readme.read_text(encoding="utf-8")
        if told.check:
            return 0 if all(results == render(RESULTS / name) for name, results in named_in(before)) else 1
        told.readme.write_text(replaced(before, told.record or newest(RESULTS)), encoding="utf-8")
    except (MarkerError, RecordError, OSError) as error:
        print(f"readme_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
