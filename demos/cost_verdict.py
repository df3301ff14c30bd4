"""Which floors the costs of the cache layer keep, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from radixdeck.daemon.engine.bench_cost import (
    CHOICE,
    CHOICE_SCORED,
    COLLECTIONS,
    EVICT,
    LEARN,
    LEARN_ANY,
    LEARN_REQUEST,
    NOTE,
    NOTE_ANY,
    OURS,
    SCORE,
    SCORES_DENSE,
    SCORES_SPARSE,
    SNAPSHOT,
    SPLIT,
    WALK,
    Cost,
)

from .report import table

PYTHON, RUST = "SGLang Python", "SGLang Rust"
SMALL, COMPARED, LARGE = 10_000, 100_000, 1_000_000
GROWTH_AT_MOST = 2.0
CHEAPER_AT_LEAST = 20.0
SCORE_AT_MOST_US = 1.0
EVENT_AT_MOST_US = 5.0


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """One floor. `low`, `high`: the value between the 10th and 90th percentiles of what it is made from. Not `judged`:
    it stands beside the one that is, so that nothing is hidden."""

    name: str
    value: float
    low: float
    high: float
    bound: float
    at_most: bool = True
    judged: bool = True

    @property
    def kept(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def missed(self) -> bool:
        return self.judged and not self.kept


class Costs:
    """All that was measured, by (what, core, nodes, agents)."""

    def __init__(self, costs: Sequence[Cost]) -> None:
        self.all = costs
        self.at = {(cost.what, cost.core, cost.nodes, cost.agents): cost for cost in costs}
        self.agents = sorted({cost.agents for cost in costs if cost.core == OURS})
        self.sizes = sorted({cost.nodes for cost in costs})

    def ours(self, what: str) -> list[Cost]:
        return [cost for cost in self.all if cost.core == OURS and cost.what == what]


def floors(costs: Costs) -> list[Floor]:
    """Every floor that this run can judge, for each number of agents where they differ."""
    judged = [*_growth(costs), *_cheaper(costs)]
    if scores := costs.ours(SCORE):
        judged.append(
            _worst("score look-up of an eviction, µs", scores, [cost.median_us for cost in scores], SCORE_AT_MOST_US)
        )
    return judged + _of_events(costs)


def _of_events(costs: Costs) -> list[Floor]:
    """What the scheduler pays for an event, which is judged, and what policies learn from it later, which is told."""
    found: list[Floor] = []
    for of_any, of_kind, what, judged in (
        (NOTE_ANY, NOTE, "note an event", True),
        (LEARN_ANY, LEARN, "learn from it later", False),
    ):
        kinds = [cost for cost in costs.all if cost.core == OURS and cost.what.startswith(of_kind)]
        for name, seen in ((f"{what}, mean over events, µs", costs.ours(of_any)),
                           (f"{what}, mean of its costliest kind, µs", kinds)):  # fmt: skip
            if seen:
                means = [cost.mean_us for cost in seen]
                found.append(_worst(name, seen, means, EVENT_AT_MOST_US, judged=judged))
    return found


def _growth(costs: Costs) -> list[Floor]:
    large = max(costs.sizes)
    found: list[Floor] = []
    for agents in costs.agents:
        few, many = (costs.at.get((CHOICE, OURS, nodes, agents)) for nodes in (SMALL, large))
        if few is not None and many is not None and large > SMALL:
            name = f"choosing at {large:,} nodes against {SMALL:,}, {agents} agents, x"
            found.append(_ratio(name, many, few, GROWTH_AT_MOST, at_most=True))
    return found


def _cheaper(costs: Costs) -> list[Floor]:
    """As it comes, and where everything has to be scored first, as in a cache with nothing of closed sessions."""
    heap = costs.at.get((CHOICE, PYTHON, COMPARED, 0))
    found: list[Floor] = []
    for what, how in ((CHOICE, ""), (CHOICE_SCORED, ", all scored")):
        for agents in costs.agents if heap is not None else ():
            ours = costs.at.get((what, OURS, COMPARED, agents))
            if ours is not None and heap is not None:
                name = f"choosing at {COMPARED:,} nodes against SGLang's Python heap, {agents} agents{how}, x cheaper"
                found.append(_ratio(name, heap, ours, CHEAPER_AT_LEAST, at_most=False))
    return found


def _ratio(name: str, upper: Cost, lower: Cost, bound: float, *, at_most: bool) -> Floor:
    return Floor(
        name=name, value=upper.median_us / lower.median_us, low=upper.low_us / lower.high_us,
        high=upper.high_us / lower.low_us, bound=bound, at_most=at_most,
    )  # fmt: skip


def _worst(name: str, costs: Sequence[Cost], values: Sequence[float], bound: float, *, judged: bool = True) -> Floor:
    value, cost = max(zip(values, costs, strict=True), key=lambda pair: pair[0])
    where = f"{name} ({cost.what}; {cost.nodes:,} nodes, {cost.agents} agents)"
    return Floor(name=where, value=value, low=cost.low_us, high=cost.high_us, bound=bound, judged=judged)


def verdict_text(judged: Sequence[Floor]) -> str:
    header = ["worst of each", "value", "10 to 90 %", "floor", "kept"]
    rows = [
        [
            floor.name, f"{floor.value:,.2f}", f"{floor.low:,.2f} to {floor.high:,.2f}",
            f"{'at most' if floor.at_most else 'at least'} {floor.bound:g}", _kept(floor),
        ]
        for floor in judged
    ]  # fmt: skip
    count, missed = sum(floor.judged for floor in judged), sum(floor.missed for floor in judged)
    last = f"verdict: {missed} of {count} floors missed" if missed else f"verdict: all {count} floors kept"
    return table(header, rows) + "\n\n" + (last if count else "verdict: nothing here that a floor is about")


def _kept(floor: Floor) -> str:
    return ("yes" if floor.kept else "NO") + ("" if floor.judged else ", not judged")


def measured_text(costs: Costs) -> str:
    """Medians, one line for each tree; means of events, where now and then one pays for many."""
    columns = {
        "evict 1,000": EVICT, "of it choosing": CHOICE, "all scored": CHOICE_SCORED,
        "look-up, splits": SPLIT, "walk/node": WALK,
        "snapshot/node": SNAPSHOT, "score": SCORE, "all, 50 later": SCORES_SPARSE, "all, each": SCORES_DENSE,
        "note": NOTE_ANY, "learn": LEARN_ANY, "learn/request": LEARN_REQUEST, "collect": COLLECTIONS,
    }  # fmt: skip
    rows: list[list[str]] = []
    for nodes in costs.sizes:
        for core, agents in [(PYTHON, 0), (RUST, 0), *((OURS, agents) for agents in costs.agents)]:
            cells = [costs.at.get((what, core, nodes, agents)) for what in columns.values()]
            if any(cells):
                name = f"{nodes:,} nodes, " + (core if core != OURS else f"{agents:,} agents, ours")
                rows.append([name, *(_cell(cost) for cost in cells)])
    return table(["µs of CPU time", *columns], rows)


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return ""
    value_us = cost.mean_us if cost.what in (NOTE_ANY, LEARN_ANY) else cost.median_us
    return f"{value_us:,.0f}" if value_us >= 100 else f"{value_us:.2f}"
