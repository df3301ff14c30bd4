"""SGLang's own cache against ours, on the real engine: same model, same requests, same KV memory, same machine.

Five named workloads (`named.py`) at a tight size of KV memory, one repetition per reporting seed, the two systems in
turn; then, on the first seed, the same as memory grows to where nothing is evicted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from .arms import Arms, Case, measure_both
from .bench_end import to_the_end
from .bench_record import write
from .live import EXPECTED
from .named import NAMED
from .progress import Progress
from .report import RESULTS
from .sources import describe
from .stock import parse_for_servers
from .verdicts import passed, text
from .versus import SIDES, Comparison, Repetition, Side
from .workloads import DEMO_KV_TOKENS, REPORT_SEEDS, Style, Topology, WorkloadSpec

GENERAL = "general"
"""The demo's workload, which has no name: general roles, any topology."""
SHAPE = ("requests", "topology", "style", "agents", "sessions")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared: one repetition per seed at tight sizes, one in all at others."""

    cases: list[Case]
    seeds: tuple[int, ...] = REPORT_SEEDS
    arms: Arms = Arms()
    quick: bool = False


def cases_of(names: Sequence[str], *, growing: bool) -> list[Case]:
    """Every named workload at its tight size, then, if `growing`, at its larger ones."""
    known = {name: (named.spec, named.kv_tokens) for name, named in NAMED.items()}
    known[GENERAL] = (WorkloadSpec(), (DEMO_KV_TOKENS, 2 * DEMO_KV_TOKENS, 20 * DEMO_KV_TOKENS))
    return [
        Case(name=name, workload=known[name][0], kv_tokens=known[name][1][size], tight=size == 0)
        for size in range(3 if growing else 1)
        for name in names
    ]


def schedule(settings: Settings) -> Iterator[tuple[Case, int, Side]]:
    """Every pair of measurements in order: seed by seed over all tight cases, the larger ones once at the end. Which
    system goes first alternates from one to the next."""
    turns = [(case, seed) for seed in settings.seeds for case in settings.cases if case.tight]
    turns += [(case, settings.seeds[0]) for case in settings.cases if not case.tight]
    for number, (case, seed) in enumerate(turns):
        yield case, seed, SIDES[number % 2]


class Bench:
    """Collects what was measured, so that what is done is kept when a run fails or the rest is called off."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._done: dict[tuple[str, int], list[Repetition]] = {}
        self._lost: dict[tuple[str, int], list[str]] = {}

    async def run(self) -> None:
        """Everything. A pair that cannot be measured is told and left out. Raises WorkloadError before any is."""
        plan = list(schedule(self._settings))
        for case, seed, _ in plan:
            self._settings.arms.plan(case, seed, self._progress.say)
        for number, (case, seed, first) in enumerate(plan, start=1):
            where = f"{case.name}, {case.kv_tokens:,} KV tokens, seed {seed}"
            self._progress.say(f"{number} of {len(plan)}: {where}, {first} first")
            key = (case.name, case.kv_tokens)
            try:
                repetition = await measure_both(self._settings.arms, case, seed, first, self._progress)
                self._done.setdefault(key, []).append(repetition)
            except EXPECTED as error:
                self._progress.say(f"  could not be measured: {error}")
                self._lost.setdefault(key, []).append(f"seed {seed} could not be measured: {error}")

    def told(self) -> list[Comparison]:
        """All cases, in order, with what was measured of them; a repetition that is missing is said to be."""
        return [self._one(case) for case in self._settings.cases]

    def _one(self, case: Case) -> Comparison:
        key = (case.name, case.kv_tokens)
        done, lost = self._done.get(key, []), self._lost.get(key, [])
        missing = (len(self._settings.seeds) if case.tight else 1) - len(done) - len(lost)
        workload = describe(case.workload, case.logs)
        workload.pop("seed", None)
        return Comparison(
            name=case.name, kv_tokens=case.kv_tokens, tight=case.tight, workload=workload, repetitions=done,
            lost=[*lost, *([f"{missing} repetitions were not measured"] if missing else [])],
        )  # fmt: skip


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Path]:
    arms = Arms()
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(NAMED)} or {GENERAL} [all five named]")
    parser.add_argument("--quick", action="store_true", help="the first seed only, tight sizes only")
    parser.add_argument("--seeds", type=int, nargs="+", help=f"one repetition each [{REPORT_SEEDS}]")
    parser.add_argument("--tight", action="store_true", help="tight sizes only")
    parser.add_argument("--kv-tokens", type=int, help="this size only, taken as the tight one")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--topology", choices=get_args(Topology))
    parser.add_argument("--style", choices=get_args(Style))
    parser.add_argument("--agents", type=int)
    parser.add_argument("--sessions", type=int)
    parser.add_argument("--logs", type=Path, help="Who&When file or folder, or a Mooncake *.jsonl, instead")
    parser.add_argument("--session-ends", action="store_true", help="tell which request of a session is its last")
    parser.add_argument("--policy", default=arms.policy)
    parser.add_argument("--concurrency", type=int, default=arms.concurrency)
    parser.add_argument("--model", default="", help="model id or path; none: the small one made on the spot")
    parser.add_argument("--home", default="", help="folder of logs and models [the user's]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told = parse_for_servers(parser, arguments)
    if unknown := [name for name in told.names if name not in (*NAMED, GENERAL)]:
        parser.error(f"no workload {unknown[0]!r}; known: {', '.join(NAMED)}, {GENERAL}")
    seeds = tuple(told.seeds) if told.seeds else REPORT_SEEDS[:1] if told.quick else REPORT_SEEDS
    common = {name: getattr(told, name) for name in Arms.__struct_fields__}
    return Settings(cases=_cases(told), seeds=seeds, arms=Arms(**common), quick=told.quick), told.out


def _cases(told: argparse.Namespace) -> list[Case]:
    changes = {name: getattr(told, name) for name in SHAPE if getattr(told, name) is not None}
    names = [GENERAL] if told.logs else told.names or list(NAMED)
    cases = cases_of(names, growing=not (told.quick or told.tight or told.kv_tokens or told.logs))
    moved: dict[str, Any] = {"kv_tokens": told.kv_tokens} if told.kv_tokens else {}
    if told.logs:
        moved |= {"logs": told.logs, "name": told.logs.name}
    return [
        msgspec.structs.replace(case, workload=msgspec.structs.replace(case.workload, **changes), **moved)
        for case in cases
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit codes: 0 floors reached, 1 missed, 2 could not run, 130 stopped."""
    settings, out = parse(arguments)
    progress = Progress()
    bench = Bench(settings, progress)

    def conclude() -> bool:
        told = bench.told()
        progress.say(f"record: {write(settings.arms, settings.seeds, told, out, quick=settings.quick)}")
        print(text(told))
        return passed(told)

    return to_the_end(bench.run(), lambda: any(one.repetitions for one in bench.told()), conclude, progress)


if __name__ == "__main__":
    sys.exit(main())
