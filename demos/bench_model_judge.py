"""Judging the modelled bench: means and spreads over cells, and each target of the project met or not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec

from .bench_model_cells import Cell
from .bench_model_ways import ENDS, OURS, PATHS_IDLE, PATHS_SPARE
from .families import GARBAGE, LOGS, MANY, NON_STATIONARY, PER_TASK, PLAIN, TOPOLOGIES
from .measure import mean_and_spread

AGENTS = (*TOPOLOGIES, NON_STATIONARY)
"""Families that 'all' is the mean of: agents with names, on generated traffic."""
GAPS: dict[str, float] = {
    "pipeline": 90, "mixture": 70, "debate": 63, "selector": 63, "random": 55, NON_STATIONARY: 58,
}  # fmt: skip
ALL_GAP, ENDS_GAP, LOGS_GAP = 67.0, 71.0, 60.0
HOSTILE_POINTS, ANY_POINTS, PATH_POINTS = -0.5, -1.0, -1.0
PROTECT = "protect_shared"
LEAST_LOG_CALLS = 150


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One way on one family: mean share of the gap closed (percent) and its spread over seeds, mean hit rates
    (percent), the cell that is worst against LRU (points)."""

    way: str
    family: str
    cells: int
    gap: float
    spread: float
    hit: float
    lru: float
    best: float
    worst: float
    worst_where: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One target. `met`: None if nothing was measured for it, which counts as missed."""

    what: str
    target: str
    value: str
    met: bool | None


def of(cells: Iterable[Cell], way: str, families: Sequence[str] = ()) -> list[Cell]:
    """The cells of a way, in these families or in all."""
    return [cell for cell in cells if cell.way == way and (not families or cell.family in families)]


def mean_gap(cells: Sequence[Cell]) -> float:
    """Mean over the cells where there is something to win, percent; 0 if there is none."""
    gaps = [gap for cell in cells if (gap := cell.gap) is not None]
    return statistics.fmean(gaps) if gaps else 0.0


def gap_of(cells: Sequence[Cell], families: Sequence[str]) -> float:
    """Mean over families of their mean gap, so that a family with more members does not count more."""
    present = [family for family in families if any(cell.family == family for cell in cells)]
    means = [mean_gap([cell for cell in cells if cell.family == family]) for family in present]
    return statistics.fmean(means) if means else 0.0


def summarise(cells: Sequence[Cell], way: str, family: str) -> Summary:
    """Raises ValueError if there are no such cells."""
    mine = of(cells, way, (family,))
    if not mine:
        raise ValueError(f"no cells of {way!r} in {family!r}")
    seeds = sorted({cell.seed for cell in mine})
    worst = min(mine, key=lambda cell: cell.points)
    return Summary(
        way=way, family=family, cells=len(mine), gap=mean_gap(mine),
        spread=mean_and_spread([mean_gap([cell for cell in mine if cell.seed == seed]) for seed in seeds])[1],
        hit=_percent(mine, lambda cell: cell.hit), lru=_percent(mine, lambda cell: cell.lru),
        best=_percent(mine, lambda cell: cell.best), worst=worst.points, worst_where=worst.trace,
    )  # fmt: skip


def _percent(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float:
    return 100 * statistics.fmean(value(cell) for cell in cells)


def judge(cells: Sequence[Cell], baselines: Sequence[str]) -> list[Row]:
    """Every target, in the order in which they are stated."""
    ours = of(cells, OURS)
    rows = [_gap("eviction alone: all families", gap_of(ours, AGENTS), ALL_GAP)]
    rows += [
        _gap(f"eviction alone: {family}", gap_of(ours, (family,)), target, missing=not of(ours, OURS, (family,)))
        for family, target in GAPS.items()
    ]
    told = of(cells, ENDS)
    rows.append(_gap("session ends told: all families", gap_of(told, AGENTS), ENDS_GAP, missing=not told))
    rows.append(Row(what="next agent and ends told", target=">= 79 % of the gap", value="no such hint", met=None))
    rows += [_paths(cells), Row(what="path prefetch and next agent told", target=">= best + 3 points",
                                value="no such hint", met=None)]  # fmt: skip
    rows += [*_logs(cells), *_plain(ours)]
    rows += [_never_below(ours, family, (family,), HOSTILE_POINTS) for family in (GARBAGE, PER_TASK, MANY)]
    rows += [_never_below(ours, "every trace of every family", (), ANY_POINTS), _above_all(cells, baselines)]
    rows.append(_sound(cells))
    return rows


def _gap(what: str, value: float, target: float, *, missing: bool = False) -> Row:
    goal = f">= {target:g} % of the gap"
    if missing:
        return Row(what=what, target=goal, value="not measured", met=None)
    return Row(what=what, target=goal, value=f"{value:.1f} %", met=value >= target)


def _paths(cells: Sequence[Cell]) -> Row:
    """Either way of prefetching counts; what the best evictions without prefetch reach is the mark."""
    what, target = "path prefetch: hit rate against the best without", f">= best {PATH_POINTS:+g} points"
    ways = {"idle": of(cells, PATHS_IDLE, AGENTS), "host tier": of(cells, PATHS_SPARE, AGENTS)}
    above = {name: 100 * statistics.fmean(cell.hit - cell.best for cell in mine) for name, mine in ways.items() if mine}
    if not above:
        return Row(what=what, target=target, value="not measured", met=None)
    value = ", ".join(f"{name} {points:+.1f}" for name, points in above.items())
    return Row(what=what, target=target, value=value, met=max(above.values()) >= PATH_POINTS)


def _logs(cells: Sequence[Cell]) -> list[Row]:
    mine = [cell for cell in of(cells, OURS, (LOGS,)) if cell.requests >= LEAST_LOG_CALLS]
    rows = [_gap("real logs: mean", mean_gap(mine), LOGS_GAP, missing=not mine)]
    protect = {cell.trace: cell for cell in of(cells, PROTECT, (LOGS,))}
    above = [100 * (cell.hit - protect[cell.trace].hit) for cell in mine if cell.trace in protect]
    what, target = "real logs: each against protecting shared prefixes", "> 0 points"
    if not above:
        return [*rows, Row(what=what, target=target, value="not measured", met=None)]
    return [*rows, Row(what=what, target=target, value=f"worst {min(above):+.2f}", met=min(above) > 0)]


def _plain(ours: Sequence[Cell]) -> list[Row]:
    """At every size, on the mean of the plain streams whose conversations the daemon can tell apart."""
    what, target = "plain conversations: above LRU at every size", "> 0 points"
    mine = [cell for cell in of(ours, OURS, (PLAIN,)) if "no names" not in cell.variant]
    if not mine:
        return [Row(what=what, target=target, value="not measured", met=None)]
    budgets = sorted({cell.budget for cell in mine})
    points = [statistics.fmean(cell.points for cell in mine if cell.budget == budget) for budget in budgets]
    return [Row(what=what, target=target, value=" ".join(f"{value:+.2f}" for value in points), met=min(points) > 0)]


def _never_below(ours: Sequence[Cell], what: str, families: Sequence[str], least: float) -> Row:
    mine = of(ours, OURS, families)
    target = f">= {least:+g} points against LRU on each"
    if not mine:
        return Row(what=what, target=target, value="not measured", met=None)
    worst = min(mine, key=lambda cell: cell.points)
    value = f"worst {worst.points:+.2f} ({worst.trace})"
    return Row(what=what, target=target, value=value, met=worst.points >= least)


def _above_all(cells: Sequence[Cell], baselines: Sequence[str]) -> Row:
    """Our policy against each online baseline on the mean hit rate of each family."""
    what, target = "above every baseline on the mean of every family", "0 exceptions"
    lost: list[str] = []
    for family in sorted({cell.family for cell in cells}):
        mine = of(cells, OURS, (family,))
        for name in baselines:
            theirs = of(cells, name, (family,))
            if mine and theirs and _percent(theirs, lambda cell: cell.hit) > _percent(mine, lambda cell: cell.hit):
                lost.append(f"{name} on {family}")
    value = "0 exceptions" if not lost else f"{len(lost)}: " + ", ".join(lost[:3])
    return Row(what=what, target=target, value=value, met=not lost)


def _sound(cells: Sequence[Cell]) -> Row:
    """A policy that raised ran as LRU from there: its numbers are not its own."""
    failed = sorted({f"{cell.way}: {cell.failures[0]}" for cell in cells if cell.failures})
    value = "none" if not failed else f"{len(failed)}: {failed[0]}"
    return Row(what="policies that failed on the way", target="none", value=value, met=not failed)


def passed(rows: Sequence[Row]) -> bool:
    return all(row.met for row in rows)
