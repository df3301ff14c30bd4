"""What was measured of a policy's cases, in words: each number off and on, its floor, and the verdict last."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from .measure import mean_and_spread
from .policy_measures import Change, Floor, changed
from .policy_runs import Pair
from .report import table

HEADER = ["case and measure", "unit", "off", "on", "change", "floor"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one case. `units`: of its measures; `wanted`: repetitions that were asked for; `lost`: what
    could not be measured, in words."""

    case: str
    says: str
    units: dict[str, str]
    floors: tuple[Floor, ...]
    wanted: int
    pairs: list[Pair]
    lost: list[str] = []

    def mean(self, measure: str, *, on: bool) -> float:
        return statistics.fmean((pair.on if on else pair.off).measures[measure] for pair in self.pairs)

    def change(self, measure: str) -> tuple[float, float, str]:
        """How the policy changed it: mean and spread over the repetitions, and in which unit. Points are never told in
        percent, nor are tokens, of which there are none while it is off."""
        unit, floor = self.units[measure], self.floor(measure)
        kind: Change = floor.change if floor else "difference" if unit in ("points", "tokens") else "percent"
        changes = [changed(kind, pair.off.measures[measure], pair.on.measures[measure]) for pair in self.pairs]
        return *mean_and_spread(changes), "%" if kind == "percent" else unit

    def floor(self, measure: str) -> Floor | None:
        return next((floor for floor in self.floors if floor.measure == measure), None)

    def missed(self, measure: str) -> bool:
        """Whether its floor was not reached, on the mean over the repetitions."""
        floor = self.floor(measure)
        return floor is not None and not floor.kept(self.change(measure)[0])

    def within_error(self, measure: str) -> bool:
        """Whether its floor is kept by less than the standard error of the mean: another run may well miss it."""
        floor, (by, spread, _) = self.floor(measure), self.change(measure)
        if floor is None or not floor.kept(by) or len(self.pairs) < 2:
            return False
        return floor.margin(by) < spread / math.sqrt(len(self.pairs))

    @property
    def door(self) -> str:
        """What the policy did at the door, '' if nothing."""
        held, refused = (sum(getattr(pair.on, what) for pair in self.pairs) for what in ("held", "refused"))
        waited_s = sum(pair.on.held_s for pair in self.pairs) / max(1, held)
        words = f"{held} held for {waited_s:.2f} s on the mean" if held else ""
        return ", ".join(filter(None, (words, f"{refused} refused" if refused else "", self._second)))

    @property
    def _second(self) -> str:
        """How the second engine was used, '' if it was not."""
        twice, elsewhere, wasted = (
            sum(getattr(pair.on, what) for pair in self.pairs) for what in ("twice", "elsewhere", "wasted_tokens")
        )
        share = 100 * wasted / max(1, sum(pair.on.summary.prompt_tokens for pair in self.pairs))
        words = f"{twice} sent twice, {elsewhere} of them answered elsewhere first"
        return f"{words}, at most {wasted:,} tokens ({share:.1f} %) computed twice" if twice else ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`missed`: floors that were not reached; `faults`: what makes the numbers doubtful. Both in words."""

    missed: list[str]
    faults: list[str]
    passed: bool


def judge(told: Told) -> Verdict:
    """The floors, and nothing may be wrong with any repetition."""
    faults = [*told.lost, *(f"seed {pair.seed}: {fault}" for pair in told.pairs for fault in pair.faults)]
    if (missing := told.wanted - len(told.pairs)) > 0:
        faults.append(f"{missing} of {told.wanted} repetitions were not measured")
    missed: list[str] = []
    for floor in told.floors if told.pairs else ():
        if told.missed(floor.measure):
            by, _, unit = told.change(floor.measure)
            missed.append(f"{floor.measure} {by:+.1f} {unit}, floor {floor.words(told.units[floor.measure])}")
    return Verdict(missed=missed, faults=faults, passed=not missed and not faults)


def passed(told: Sequence[Told]) -> bool:
    """Whether every floor of every case was reached and nothing is doubtful."""
    return bool(told) and all(judge(one).passed for one in told)


def text(told: Sequence[Told]) -> str:
    """The table, what each case must show, its floors that were missed, and PASSED or MISSED in the last line."""
    lines = [table(HEADER, [row for one in told if one.pairs for row in _rows(one)]), ""]
    for one in told:
        verdict = judge(one)
        lines.append(f"{one.case}: {one.says}: {'yes' if verdict.passed else 'no'}")
        lines += [f"  missed: {missed}" for missed in verdict.missed]
        lines += [f"  doubtful: {fault}" for fault in verdict.faults]
    lines.append("PASSED" if passed(told) else "MISSED")
    return "\n".join(lines)


def _rows(told: Told) -> list[list[str]]:
    """A row for each measure: means of both halves, the change with its spread, and the floor."""
    title = f"{told.case}, n={len(told.pairs)}" + (f": {told.door}" if told.door else "")
    rows = [[title, "", "", "", "", ""]]
    for measure, unit in told.units.items():
        floor = told.floor(measure)
        means = [f"{told.mean(measure, on=on):.2f}" for on in (False, True)]
        rows.append([f"  {measure}", unit, *means, shown(told, measure), floor.words(unit) if floor else ""])
    return rows


def shown(told: Told, measure: str) -> str:
    """A change with its spread, such as '+12.0 % ±1.3'."""
    by, spread, unit = told.change(measure)
    return f"{by:+.1f} {unit}" + (f" ±{spread:.1f}" if len(told.pairs) > 1 else "")
