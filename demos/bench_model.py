"""Every cache policy on every family of modelled traffic, in caches of four sizes, against LRU and Belady's bound.

No engine and no GPU: the modelled cache runs the code that decides inside SGLang. Exit codes: 0 every target met,
1 some missed, 2 could not run, 130 stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from radixdeck.policies.parameters import TunableError
from radixdeck.policies.registry import PolicyError

from .bench_model_cells import BUDGETS, MOST_JOBS, Cell, Task, run_tasks
from .bench_model_judge import Row, judge, passed
from .bench_model_kept import Kept
from .bench_model_picture import draw_gaps
from .bench_model_text import results, summaries, text
from .bench_model_ways import OURS, ablated, ablations, baselines, ours, prefetched, quick, ways_on
from .families import families, variants
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save
from .workloads import REPORT_SEEDS, TUNING_SEEDS, WorkloadError

BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "traces"
"""Where real traces are looked for unless told otherwise; what is not there is left out, and its targets missed."""
SHOWN = ("protect_shared", "kvflow", "cachescout_sessions", OURS)
"""The ways in the picture."""
QUICK_SEEDS = 1
"""A quick run takes so many of the seeds, unless it is told which."""
PREFETCH_SEEDS = PARTS_SEEDS = 1
"""What asks for warm-ups, and ablations, run on so many of the seeds; both with twelve agents only."""
HINTED_AND_WARMED = 4
"""The first of our ways stand beside them: with nothing, with ends told, with the next agent too, with warm-up."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is run. `quick`: a few members of each family, fewer baselines, no ablations. `evictions_only`: nothing is
    prefetched, and no ablations."""

    seeds: tuple[int, ...] = REPORT_SEEDS
    requests: int = 800
    quick: bool = False
    evictions_only: bool = False
    only: tuple[str, ...] = ()
    jobs: int = MOST_JOBS
    traces: Path | None = None


def tasks(settings: Settings) -> tuple[list[Task], list[Task]]:
    """What to run for the comparison, and for the ablations. Raises WorkloadError for an unknown family."""
    for name in settings.only:
        variants(name, settings.traces)
    compared: list[Task] = []
    parts: list[Task] = []
    without = (*ours()[:HINTED_AND_WARMED], *ablations())
    for family, members in families(settings.traces).items():
        if settings.only and family not in settings.only:
            continue
        for variant in quick(family, members) if settings.quick else members:
            seeds = settings.seeds if variant.seeded else settings.seeds[:1]
            ways = tuple(ways_on(family, quick=settings.quick))
            alone = tuple(way for way in ways if way.prefetch is None)
            warmed = PREFETCH_SEEDS if prefetched(family, variant) and not settings.evictions_only else 0
            made = [
                Task(family, variant.name, seed, settings.requests, ways if number < warmed else alone, settings.traces)
                for number, seed in enumerate(seeds)
            ]
            compared += made
            if not settings.quick and not settings.evictions_only and ablated(family, variant):
                parts += [replace(task, ways=without) for task in made[:PARTS_SEEDS]]
    return compared, parts


def run(settings: Settings, progress: Progress, kept: Kept | None = None) -> tuple[list[Cell], list[Cell]]:
    """Cells of the comparison and of the ablations. Raises WorkloadError, PolicyError, TunableError or OSError."""
    compared, parts = tasks(settings)
    progress.say(f"{len(compared)} streams, {len(compared[0].ways) if compared else 0} ways, sizes {BUDGETS}")
    cells = run_tasks(compared, settings.jobs, progress.say, kept)
    if parts:
        progress.say(f"parts of {OURS}: {len(parts)} streams, {len(parts[0].ways)} ways")
    return cells, run_tasks(parts, settings.jobs, progress.say, kept)


def write(settings: Settings, cells: Sequence[Cell], parts: Sequence[Cell], rows: Sequence[Row], folder: Path) -> Path:
    """Record, history and picture. Returns the record's path."""
    told: dict[str, Any] = {
        "seeds": settings.seeds, "requests": settings.requests, "quick": settings.quick, "only": settings.only,
        "evictions_only": settings.evictions_only, "budgets": BUDGETS,
        "streams": sorted({cell.variant for cell in cells}),
    }  # fmt: skip
    verdict = {"targets": msgspec.to_builtins(list(rows)), "passed": passed(rows)}
    record = Record(
        kind="model", at=now_utc(), machine=machine(), settings=told, results=results(cells, parts), verdict=verdict
    )
    path = save(record, folder)
    shown = [way for way in SHOWN if any(cell.way == way for cell in cells)]
    seeds = ", ".join(map(str, settings.seeds))
    draw_gaps(
        path.with_suffix(".png"), f"Share of the gap from LRU to the best, seeds {seeds}", summaries(cells), shown
    )
    return path


def _positive(text: str) -> int:
    if (value := int(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Path | None, Path | None]:
    """What to run, where records go, and the file that streams are kept in; None: not wanted."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a subset, in minutes")
    parser.add_argument(
        "--evictions-only", action="store_true", help="no prefetch and no ablations, which take most of the time"
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--tuning", action="store_true", help=f"the tuning seeds {TUNING_SEEDS}")
    seeds.add_argument("--seeds", type=int, nargs="+", help=f"instead of the reporting seeds {REPORT_SEEDS}")
    parser.add_argument("--requests", type=_positive, default=default.requests, help="per generated stream")
    parser.add_argument("--only", nargs="+", default=[], metavar="FAMILY", help="these families alone")
    parser.add_argument("--jobs", type=_positive, default=default.jobs, help=f"processes, at most {MOST_JOBS}")
    parser.add_argument("--traces", type=Path, default=BESIDE_CHECKOUT, help="folder with mooncake/ and who_and_when/")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep finished streams here, and go on from it")
    parser.add_argument("--no-record", action="store_true", help="only print")
    told = parser.parse_args(arguments)
    named = TUNING_SEEDS if told.tuning else default.seeds
    seeds = tuple(told.seeds or named[: QUICK_SEEDS if told.quick else None])
    settings = Settings(
        seeds=seeds, requests=told.requests, quick=told.quick, evictions_only=told.evictions_only,
        only=tuple(told.only), jobs=told.jobs, traces=told.traces,
    )  # fmt: skip
    return settings, None if told.no_record else told.out, told.keep


def main(arguments: Sequence[str] | None = None) -> int:
    settings, out, keep = parse(arguments)
    progress = Progress()
    try:
        cells, parts = run(settings, progress, Kept(keep) if keep is not None else None)
    except (WorkloadError, PolicyError, TunableError, OSError) as error:
        progress.say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        kept = "" if keep is None else f"; what is through is in {keep}, the same command goes on from there"
        progress.say(f"bench: stopped, nothing recorded{kept}")
        return 130
    rows = judge(cells, [way.label for way in baselines(quick=False)], settings.only, parts)
    if out is not None:
        progress.say(f"record: {write(settings, cells, parts, rows, out)}")
    print(text(cells, parts, rows))
    return 0 if passed(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
