"""What the daemon costs, as it is judged: every measure beside what it may be at most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from .measure import percentile
from .probe import Probe
from .report import table
from .rounds import Rounds

FLOOR_ADDED_MS = 5.0
FLOOR_LOSS_PERCENT = 5.0
FLOOR_IDLE_PERCENT = 5.0
FLOOR_COMMAND_MS = 250.0


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """One measure and what it may be at most. `low`, `high`: where it was taken more than once, so that `value` is the
    median: its extremes over rounds, or the quartiles of pairs."""

    name: str
    value: float
    at_most: float
    low: float | None = None
    high: float | None = None

    @property
    def kept(self) -> bool:
        return self.value <= self.at_most

    @property
    def spread(self) -> str:
        return "" if self.low is None or self.high is None else f"{self.low:.2f} to {self.high:.2f}"


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """`whole`: the daemon against SGLang without it; `short`: that on short cached prompts; `probe`: the front alone.

    `front_added_ms`: median of what the front alone adds to a request, pair by pair; `front_added_first_ms`: to its
    first chunk."""

    whole: Rounds
    short: Probe
    front_added_ms: float
    front_added_first_ms: float
    front_throughput_loss_percent: float
    idle_percent: float
    command_p50_ms: float
    command_p95_ms: float
    probe: Probe
    command_s: list[float]

    @property
    def passed(self) -> bool:
        return not self.whole.faults() and all(floor.kept for floor in floors(self))


def floors(seen: Overhead) -> list[Floor]:
    """Every measure: the whole daemon's first, then the front's share of it, then the idle ones."""
    many = f"{seen.whole.concurrency} in flight"
    short = seen.short
    return [
        _paired("daemon: added latency, median ms", short.whole_front_s, short.whole_direct_s),
        _paired("daemon: added time to first chunk, median ms", short.first_front_s, short.first_direct_s),
        _repeated(f"daemon: throughput lost at {many}, %", seen.whole.loss_percent("fresh"), FLOOR_LOSS_PERCENT),
        _repeated("daemon: throughput lost, prompts cached, %", seen.whole.loss_percent("cached"), FLOOR_LOSS_PERCENT),
        Floor(name="front alone: added latency, median ms", value=seen.front_added_ms, at_most=FLOOR_ADDED_MS),
        Floor(name="front alone: added time to first chunk, median ms", value=seen.front_added_first_ms,
              at_most=FLOOR_ADDED_MS),
        Floor(name=f"front alone: throughput lost at {seen.probe.concurrency} in flight, %",
              value=seen.front_throughput_loss_percent, at_most=FLOOR_LOSS_PERCENT),
        Floor(name="idle CPU of everything, % of a core", value=seen.idle_percent, at_most=FLOOR_IDLE_PERCENT),
        Floor(name="command round trip when idle, p95 ms", value=seen.command_p95_ms, at_most=FLOOR_COMMAND_MS),
    ]  # fmt: skip


def _paired(name: str, ours: Sequence[float], theirs: Sequence[float]) -> Floor:
    """The median difference, with the quartiles around it."""
    added_ms = [1000 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    quartiles = statistics.quantiles(added_ms, n=4)
    return Floor(name=name, value=quartiles[1], at_most=FLOOR_ADDED_MS, low=quartiles[0], high=quartiles[2])


def _repeated(name: str, values: list[float], at_most: float) -> Floor:
    return Floor(name=name, value=statistics.median(values), at_most=at_most, low=min(values), high=max(values))


def summarise(whole: Rounds, short: Probe, seen: Probe, idle_percent: float, command_s: list[float]) -> Overhead:
    front, direct = statistics.median(seen.rates_front), statistics.median(seen.rates_direct)
    return Overhead(
        whole=whole,
        short=short,
        front_added_ms=1000 * _median_difference(seen.whole_front_s, seen.whole_direct_s),
        front_added_first_ms=1000 * _median_difference(seen.first_front_s, seen.first_direct_s),
        front_throughput_loss_percent=100 * (1 - front / direct),
        idle_percent=idle_percent,
        command_p50_ms=1000 * percentile(command_s, 50),
        command_p95_ms=1000 * percentile(command_s, 95),
        probe=seen,
        command_s=command_s,
    )


def _median_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(ours, theirs, strict=True))


def text(seen: Overhead) -> str:
    rows = [
        [floor.name, f"{floor.value:.2f}", floor.spread, f"{floor.at_most:g}", "yes" if floor.kept else "NO"]
        for floor in floors(seen)
    ]
    notes = [
        "Against SGLang with its own cache, asked directly; nothing is evicted on either side.",
        *_alone(seen.whole),
        _short(seen.short),
    ]
    faults = [f"doubtful: {fault}" for fault in seen.whole.faults()]
    header = ["", "measured", "quartiles, or over rounds", "at most", "kept"]
    return "\n".join([table(header, rows), "", *notes, *faults, "PASSED" if seen.passed else "MISSED"])


def _short(short: Probe) -> str:
    lost = 100 * (1 - statistics.median(short.rates_front) / statistics.median(short.rates_direct))
    return f"Short cached prompts, {short.concurrency} in flight: the daemon costs {lost:.1f} % of throughput"


def _alone(whole: Rounds) -> list[str]:
    """What is not judged, since two engines that do the same differ by as much."""
    told = {"the daemon": whole.added_ms, "another engine of SGLang's": whole.twins_ms}
    return [
        f"The demo's requests one at a time: {who} adds {statistics.median(ms):+.1f} ms"
        f" ({min(ms):+.1f} to {max(ms):+.1f} over rounds)"
        for who, ms in told.items()
        if ms
    ]
