"""What stays of a policy's bench: the record with its verdict, a line of history, a picture; and the words for it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .measure import mean_and_spread
from .picture import draw_repetitions
from .policy_case import PolicyCase
from .policy_measures import Change, changed
from .policy_runs import Pair
from .report import Record, machine, now_utc, save, table

HEADER = ["case and measure", "unit", "off", "on", "change", "floor"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one case. `pairs_wanted`: repetitions that were asked for; `lost`: what could not be
    measured, in words."""

    case: str
    says: str
    pairs_wanted: int
    pairs: list[Pair]
    lost: list[str] = []

    def mean(self, measure: str, *, on: bool) -> float:
        return statistics.fmean((pair.on if on else pair.off).measures[measure] for pair in self.pairs)

    def change(self, measure: str, change: Change) -> tuple[float, float]:
        """Mean and spread over the repetitions of how the policy changed it."""
        return mean_and_spread(
            [changed(change, pair.off.measures[measure], pair.on.measures[measure]) for pair in self.pairs]
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`missed`: floors that were not reached; `faults`: what makes the numbers doubtful. Both in words."""

    missed: list[str]
    faults: list[str]

    @property
    def passed(self) -> bool:
        return not self.missed and not self.faults


def judge(case: PolicyCase, told: Told) -> Verdict:
    """The floors on the mean over the repetitions; and nothing may be wrong with any of them."""
    faults = [*told.lost, *(f"seed {pair.seed}: {fault}" for pair in told.pairs for fault in pair.faults)]
    if (missing := told.pairs_wanted - len(told.pairs) - len(told.lost)) > 0:
        faults.append(f"{missing} repetitions were not measured")
    missed: list[str] = []
    for floor in case.floors if told.pairs else ():
        unit = case.measure(floor.measure).unit
        by = told.change(floor.measure, floor.change)[0]
        if not floor.kept(by):
            in_unit = "%" if floor.change == "percent" else unit
            missed.append(f"{floor.measure} {by:+.1f} {in_unit}, floor {floor.words(unit)}")
    return Verdict(missed=missed, faults=faults)


def passed(cases: Sequence[PolicyCase], told: Sequence[Told]) -> bool:
    """Whether every floor of every case was reached and nothing is doubtful."""
    return bool(told) and all(judge(case, one).passed for case, one in zip(cases, told, strict=True))


def text(cases: Sequence[PolicyCase], told: Sequence[Told]) -> str:
    """The table, what each case must show, its floors that were missed, and PASSED or MISSED in the last line."""
    rows = [row for case, one in zip(cases, told, strict=True) if one.pairs for row in rows_of(case, one)]
    lines = [table(HEADER, rows), ""]
    for case, one in zip(cases, told, strict=True):
        verdict = judge(case, one)
        lines.append(f"{case.name}: {case.says}: {'yes' if verdict.passed else 'no'}")
        lines += [f"  missed: {missed}" for missed in verdict.missed]
        lines += [f"  doubtful: {fault}" for fault in verdict.faults]
    lines.append("PASSED" if passed(cases, told) else "MISSED")
    return "\n".join(lines)


def rows_of(case: PolicyCase, told: Told) -> list[list[str]]:
    """A row for each measure: means of both halves, the change with its spread, and the floor."""
    floors = {floor.measure: floor for floor in case.floors}
    waited = statistics.fmean(pair.on.held_s / max(1, pair.on.held) for pair in told.pairs)
    held, refused = (sum(getattr(pair.on, what) for pair in told.pairs) for what in ("held", "refused"))
    held_words = f"{held} held for {waited:.2f} s on the mean, {refused} refused"
    rows = [[f"{case.name}, n={len(told.pairs)}: {held_words}", "", "", "", "", ""]]
    for measure in case.measures:
        floor = floors.get(measure.name)
        kind: Change = floor.change if floor else "difference" if measure.unit == "points" else "percent"
        by, spread = told.change(measure.name, kind)
        means = [f"{told.mean(measure.name, on=on):.2f}" for on in (False, True)]
        shown = f"{by:+.1f} {'%' if kind == 'percent' else measure.unit}"
        shown += f" ±{spread:.1f}" if len(told.pairs) > 1 else ""
        rows.append([f"  {measure.name}", measure.unit, *means, shown, floor.words(measure.unit) if floor else ""])
    return rows


def write(
    policy: str, settings: dict[str, Any], cases: Sequence[PolicyCase], told: Sequence[Told], folder: Path
) -> Path:
    """Record, history and picture. Returns the record's path."""
    verdicts = {case.name: judge(case, one) for case, one in zip(cases, told, strict=True)}
    record = Record(
        kind=f"policy_{policy}", at=now_utc(), machine=machine(),
        settings=settings | {"policy": policy, "cases": {case.name: _settings(case) for case in cases}},
        results={"cases": msgspec.to_builtins(list(told))},
        verdict={
            "cases": {name: msgspec.to_builtins(one) | {"passed": one.passed} for name, one in verdicts.items()},
            "passed": passed(cases, told),
        },
    )  # fmt: skip
    path = save(record, folder)
    done = [(case, one) for case, one in zip(cases, told, strict=True) if one.pairs]
    names = [measure.name for measure in done[0][0].measures]
    panels = {
        f"{name}, {done[0][0].measure(name).unit}": {
            word: [one.mean(name, on=on) for case, one in done if _has(case, name)]
            for word, on in (("off", False), ("on", True))
        }
        for name in names
        if all(_has(case, name) for case, _ in done)
    }
    draw_repetitions(
        path.with_suffix(".png"), f"Policy {policy}, off and on", [case.name for case, _ in done], panels, {}
    )
    return path


def _has(case: PolicyCase, measure: str) -> bool:
    return any(one.name == measure for one in case.measures)


def _settings(case: PolicyCase) -> dict[str, Any]:
    """What of a case is data."""
    return {
        "requests": case.requests, "sessions": case.sessions, "kv_tokens": case.kv_tokens, "tunables": case.tunables,
        "rules": case.rules, "beside": list(case.beside), "floors": msgspec.to_builtins(case.floors),
    }  # fmt: skip
