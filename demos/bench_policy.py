"""What a policy is worth on the real engine: the same requests with it off and on, in turns, on one engine.

What is asked, how the policy is set and what it must show is in `policy_cases.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from .bench_end import to_the_end
from .live import EXPECTED
from .policy_case import PolicyCase
from .policy_cases import CASES
from .policy_record import write
from .policy_runs import Pair, PolicyRuns, open_for
from .policy_verdict import Told, passed, text
from .progress import Progress
from .report import RESULTS
from .workloads import REPORT_SEEDS


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`seed`: of the first repetition; `repetitions`: what the case says if None."""

    policy: str
    seed: int
    repetitions: int | None = None
    model: str = ""
    home: str = ""

    def seeds(self, case: PolicyCase) -> range:
        """One for each repetition."""
        return range(self.seed, self.seed + (self.repetitions or case.repetitions))


class Bench:
    """Collects what was measured, so that what is done is kept when a case fails or the rest is called off."""

    def __init__(self, settings: Settings, cases: Sequence[PolicyCase], progress: Progress) -> None:
        self.settings, self.cases, self._progress = settings, cases, progress
        self._done: dict[str, list[Pair]] = {}
        self._lost: dict[str, list[str]] = {}

    async def run(self) -> None:
        """Everything. Cases that go with one engine follow each other on it; one that cannot be measured is told."""
        for case in self.cases:
            case.turns(self.settings.seed, case.requests)  # a case that cannot be made is refused before any runs
        for together in _engines(self.cases):
            try:
                await self._on_one_engine(together)
            except EXPECTED as error:
                self._progress.say(f"  could not be measured: {error}")
                for case in together:
                    self._lost.setdefault(case.name, []).append(f"not all could be measured: {error}")

    async def _on_one_engine(self, cases: Sequence[PolicyCase]) -> None:
        settings = self.settings
        async with open_for(cases[0], settings.model, settings.home, self._progress) as live:
            for case in cases:
                runs = PolicyRuns(settings.policy, live, self._progress)
                self._progress.say(f"{settings.policy}, {case.name}: {case.says}?")
                await runs.prepare(case, case.requests)
                seeds = settings.seeds(case)
                for number, seed in enumerate(seeds):
                    self._progress.say(f"  repetition {number + 1} of {len(seeds)}, seed {seed}")
                    pair = await runs.pair(case, seed, case.requests, on_first=number % 2 == 1)
                    self._done.setdefault(case.name, []).append(pair)

    def told(self) -> list[Told]:
        """All cases, in order, with what was measured of them."""
        return [
            Told(
                case=case.name, says=case.says, units=case.units, floors=case.floors,
                wanted=len(self.settings.seeds(case)),
                pairs=self._done.get(case.name, []), lost=self._lost.get(case.name, []),
            )
            for case in self.cases
        ]  # fmt: skip


def _engines(cases: Sequence[PolicyCase]) -> Iterator[list[PolicyCase]]:
    """Cases in a row that can share an engine and its daemon."""
    for _, together in groupby(cases, key=_engine):
        yield list(together)


def _engine(case: PolicyCase) -> tuple[Any, ...]:
    """What has to be the same. A tunable that one case sets would stay for the next."""
    calls_tools = case.tool_s > 0
    return case.kv_tokens, case.rules, case.beside, case.sglang_args, case.tunables, case.second, calls_tools


def parse(arguments: Sequence[str] | None) -> tuple[Settings, list[PolicyCase], Path]:
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_policy", description=__doc__)
    parser.add_argument("policy", choices=sorted(CASES))
    parser.add_argument("--case", action="append", help="this case only; may be given several times [all]")
    parser.add_argument("--seed", type=int, default=REPORT_SEEDS[0], help="of the first repetition [%(default)s]")
    parser.add_argument("--repetitions", type=int, help="each with the next seed; even, so that off and on come first "
                        "equally often [what the case says]")  # fmt: skip
    parser.add_argument("--requests", type=int, help="per drive [what the case says]")
    parser.add_argument("--beside", action="append", help="policies that are on all the time [what the case says]")
    parser.add_argument("--tune", action="append", default=[], metavar="NAME=VALUE", help="over the case's tunables")
    parser.add_argument("--model", default="", help="model id or path; none: the small one made on the spot")
    parser.add_argument("--home", default="", help="folder of logs and models [the user's]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of records [demos/results]")
    told = parser.parse_args(arguments)
    for name in ("repetitions", "requests"):
        if (value := getattr(told, name)) is not None and value <= 0:
            parser.error(f"--{name}: {value} is not positive")
    if told.repetitions and told.repetitions % 2:
        parser.error(f"--repetitions: {told.repetitions} is odd: off or on would come first more often")
    try:
        cases = [_changed(case, told) for case in _picked(told.policy, told.case)]
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        policy=told.policy, seed=told.seed, repetitions=told.repetitions, model=told.model, home=told.home
    )
    return settings, cases, told.out


def _picked(policy: str, names: Sequence[str] | None) -> list[PolicyCase]:
    known = {case.name: case for case in CASES[policy]}
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"{policy} has no case {unknown[0]!r}; known: {', '.join(known)}")
    return [case for name, case in known.items() if not names or name in names]


def _changed(case: PolicyCase, told: argparse.Namespace) -> PolicyCase:
    """The case as the command line wants it. Raises ValueError."""
    changes: dict[str, Any] = {}
    if told.requests is not None:
        changes["requests"] = told.requests
    if told.beside:
        changes["beside"] = tuple(told.beside)
    tunables = dict(case.tunables)
    for word in told.tune:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--tune {word}: not NAME=VALUE")
        try:
            tunables[name] = float(value)
        except ValueError:
            raise ValueError(f"--tune {word}: {value!r} is no number") from None
    return replace(case, tunables=tunables, **changes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. Exit codes: 0 floors reached, 1 missed, 2 could not run, 130 stopped."""
    settings, cases, out = parse(arguments)
    progress = Progress()
    bench = Bench(settings, cases, progress)

    def conclude() -> bool:
        told = bench.told()
        shown = {"seeds": list(max(map(settings.seeds, cases), key=len)), "model": Path(settings.model).name}
        progress.say(f"record: {write(settings.policy, shown, cases, told, out)}")
        print(text(told))
        return passed(told)

    return to_the_end(bench.run(), lambda: any(one.pairs for one in bench.told()), conclude, progress)


if __name__ == "__main__":
    sys.exit(main())
