"""Judging the modelled bench: means and spreads over cells, and each target of the project met or not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from .bench_model_cells import Cell
from .bench_model_ways import AGENTS, ANCHORS, ENDS, NEXT, OURS, PATHS_IDLE, PATHS_NEXT, PATHS_SPARE
from .families import GARBAGE, LOGS, MANY, NO_NAMES, NON_STATIONARY, PER_TASK, PLAIN
from .measure import mean_and_spread

GAPS: dict[str, float] = {
    "pipeline": 90, "mixture": 70, "debate": 63, "selector": 63, "random": 55, NON_STATIONARY: 58,
}  # fmt: skip
ALL_GAP, ENDS_GAP, LOGS_GAP = 67.0, 71.0, 60.0
NEXT_GAP, NEXT_POINTS = 79.0, 3.0
HOSTILE = (GARBAGE, PER_TASK, MANY)
HOSTILE_POINTS, ANY_POINTS, PATH_POINTS = -0.5, -1.0, -1.0
PREFETCHING = (ANCHORS, PATHS_IDLE, PATHS_SPARE, PATHS_NEXT)
PROTECT = "protect_shared"
LEAST_LOG_CALLS = 150
EVERY, EVERY_WARMED = "every trace of every family", "the same with prefetch"
ABOVE_ALL, FAILED = "above every baseline on the mean of each family", "policies that failed on the way"
EVERYWHERE = (EVERY, EVERY_WARMED, ABOVE_ALL, FAILED)
"""Targets that are about whatever ran."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One way on one family: mean share of the gap closed (percent) and its spread over seeds, of the streams that
    seeds make a difference to; mean hit rates (percent), the cell that is worst against LRU (points)."""

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
    """One target. `met`: None if nothing was measured, which counts as missed; `where`: the cell that decides."""

    what: str
    target: str
    value: str
    met: bool | None
    where: str = ""


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
    by_seed: dict[int, list[Cell]] = {}
    for cell in mine:
        if cell.seeded:  # a trace that runs on the first seed alone would make that one differ from the others
            by_seed.setdefault(cell.seed, []).append(cell)
    worst = min(mine, key=lambda cell: cell.points)
    return Summary(
        way=way, family=family, cells=len(mine), gap=mean_gap(mine),
        spread=mean_and_spread([mean_gap(seeded) for seeded in by_seed.values()])[1] if by_seed else 0.0,
        hit=_percent(mine, lambda cell: cell.hit), lru=_percent(mine, lambda cell: cell.lru),
        best=_percent(mine, lambda cell: cell.best), worst=worst.points, worst_where=worst.trace,
    )  # fmt: skip


def _percent(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float:
    return 100 * statistics.fmean(value(cell) for cell in cells)


def judge(
    cells: Sequence[Cell], baselines: Sequence[str], only: Sequence[str] = (), parts: Sequence[Cell] = ()
) -> list[Row]:
    """Every target in the order in which they are stated; `only`: those that these families decide alone. `parts`:
    cells of the ablations, which only have to be sound."""
    ours = of(cells, OURS)
    judged: list[tuple[Sequence[str], Row]] = [(AGENTS, _gap("eviction alone: all families", ours, AGENTS, ALL_GAP))]
    judged += [((name,), _gap(f"eviction alone: {name}", ours, (name,), goal)) for name, goal in GAPS.items()]
    judged += [
        (AGENTS, _gap("session ends told: all families", of(cells, ENDS), AGENTS, ENDS_GAP)),
        (AGENTS, _gap("next agent and ends told: all families", of(cells, NEXT), AGENTS, NEXT_GAP)),
        (AGENTS, _paths("path prefetch: hit rate", cells, {"idle": PATHS_IDLE, "decoding": PATHS_SPARE}, PATH_POINTS)),
        (AGENTS, _paths("path prefetch, next agent told", cells, {"decoding": PATHS_NEXT}, NEXT_POINTS)),
        ((LOGS,), _gap("real logs", _long(ours), (LOGS,), LOGS_GAP)),
        ((LOGS,), _above_protecting(cells)),
        ((PLAIN,), _plain(ours)),
    ]
    judged += [((name,), _never_below(name, of(ours, OURS, (name,)), HOSTILE_POINTS)) for name in HOSTILE]
    judged += [
        ((), _never_below(EVERY, ours, ANY_POINTS)),
        ((), _never_below(EVERY_WARMED, [c for c in cells if c.way in PREFETCHING], ANY_POINTS)),
        ((), _above_all(cells, baselines)),
        ((), _sound([*cells, *parts])),
    ]
    return [row for families, row in judged if not only or set(families) <= set(only)]


def _missing(what: str, target: str, where: str = "") -> Row:
    return Row(what=what, target=target, value="not measured", met=None, where=where)


def _gap(what: str, cells: Sequence[Cell], families: Sequence[str], target: float) -> Row:
    goal = f">= {target:g} % of the gap"
    mine = [cell for cell in cells if cell.family in families]
    if not mine:
        return _missing(what, goal)
    value = gap_of(mine, families)
    return Row(what=what, target=goal, value=f"{value:.1f} %", met=value >= target)


def _paths(what: str, cells: Sequence[Cell], ways: Mapping[str, str], least: float) -> Row:
    """Any of these ways of prefetching counts; what the best evictions without prefetch reach is the mark."""
    target = f">= best without {least:+g} points"
    measured = {name: of(cells, way, AGENTS) for name, way in ways.items()}
    above = {name: statistics.fmean(cell.above_best for cell in mine) for name, mine in measured.items() if mine}
    if not above:
        return _missing(what, target)
    value = ", ".join(f"{name} {points:+.1f}" for name, points in above.items())
    return Row(what=what, target=target, value=value, met=max(above.values()) >= least)


def _long(cells: Sequence[Cell]) -> list[Cell]:
    """Recordings that are long enough to be judged."""
    return [cell for cell in cells if cell.requests >= LEAST_LOG_CALLS]


def _above_protecting(cells: Sequence[Cell]) -> Row:
    what, target = "real logs: each above protecting shared prefixes", "> 0 points"
    protect = {cell.trace: cell for cell in of(cells, PROTECT, (LOGS,))}
    mine = [cell for cell in _long(of(cells, OURS, (LOGS,))) if cell.trace in protect]
    if not mine:
        return _missing(what, target)
    points, where = min((100 * (cell.hit - protect[cell.trace].hit), cell.trace) for cell in mine)
    return Row(what=what, target=target, value=f"worst {points:+.2f}", met=points > 0, where=where)


def _plain(ours: Sequence[Cell]) -> Row:
    """At every size, on the mean of the plain streams whose conversations the daemon can tell apart."""
    what, target = "plain conversations: above LRU at every size", "> 0 points"
    mine = [cell for cell in ours if cell.family == PLAIN and NO_NAMES not in cell.variant]
    if not mine:
        return _missing(what, target)
    budgets = sorted({cell.budget for cell in mine})
    points = [statistics.fmean(cell.points for cell in mine if cell.budget == budget) for budget in budgets]
    return Row(what=what, target=target, value=" ".join(f"{value:+.2f}" for value in points), met=min(points) > 0)


def _never_below(what: str, cells: Sequence[Cell], least: float) -> Row:
    target = f"each >= LRU {least:+g} points"
    if not cells:
        return _missing(what, target)
    worst = min(cells, key=lambda cell: cell.points)
    return Row(
        what=what, target=target, value=f"worst {worst.points:+.2f}", met=worst.points >= least,
        where=f"{worst.trace} ({worst.way})",
    )  # fmt: skip


def _above_all(cells: Sequence[Cell], baselines: Sequence[str]) -> Row:
    """Our policy against each online baseline on the mean hit rate of each family. Met only where all of them ran on
    every trace that ours ran on: nothing is said of one that was left out."""
    what, target = ABOVE_ALL, "0 exceptions"
    lost: list[str] = []
    absent: dict[str, None] = {}
    for family in dict.fromkeys(cell.family for cell in cells):
        mine = {cell.trace: cell for cell in of(cells, OURS, (family,))}
        for name in baselines:
            theirs = {cell.trace: cell for cell in of(cells, name, (family,))}
            if not mine or mine.keys() - theirs.keys():
                absent[name if mine else OURS] = None
            elif statistics.fmean(theirs[trace].hit - cell.hit for trace, cell in mine.items()) > 0:
                lost.append(f"{name} on {family}")
    if not lost and (absent or not cells):
        return _missing(what, target, where=", ".join(absent))
    return Row(what=what, target=target, value=str(len(lost)), met=not lost, where=", ".join(lost))


def _sound(cells: Sequence[Cell]) -> Row:
    """A policy that raised ran as LRU from there: its numbers are not its own."""
    failed = sorted({f"{cell.way}: {cell.failures[0]}" for cell in cells if cell.failures})
    return Row(
        what=FAILED, target="none", value=str(len(failed)), met=not failed,
        where=failed[0] if failed else "",
    )  # fmt: skip


def passed(rows: Sequence[Row]) -> bool:
    return all(row.met for row in rows)
