"""What the daemon costs, as it is judged: every measure beside what it may be at most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from .measure import percentile
from .probe import Probe
from .report import table
from .rounds import Against, Boot, Leg

FLOOR_ADDED_MS = 5.0
FLOOR_LOSS_PERCENT = 5.0
FLOOR_IDLE_PERCENT = 5.0
FLOOR_COMMAND_MS = 250.0


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """One measure and what it may be at most. `low`, `high`: where `value` is a median of pairs, their quartiles."""

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
    """`boots`: the daemon against SGLang without it, once with every set of engines; `front`: the front alone."""

    concurrency: int
    boots: list[Boot]
    front: Probe
    idle_percent: float
    command_s: list[float]

    @property
    def passed(self) -> bool:
        return not self.faults() and all(floor.kept for floor in floors(self))

    def faults(self) -> list[str]:
        """What makes the comparison itself doubtful, in words."""
        return [f"boot {number}: {fault}" for number, boot in enumerate(self.boots, start=1) for fault in boot.faults()]

    def daemon(self) -> list[Against]:
        return [boot.daemon for boot in self.boots]

    def twins(self) -> list[Against]:
        return [boot.twin for boot in self.boots]


def floors(seen: Overhead) -> list[Floor]:
    """Every measure: the whole daemon's first, then the front's share of it, then the idle ones."""
    many = f"{seen.concurrency} in flight"
    front = [Against(short=seen.front, legs={})]
    lost = [
        Floor(name="front alone: throughput lost, short prompts, %", value=lost_short_percent(front)[0],
              at_most=FLOOR_LOSS_PERCENT),
        Floor(name="idle CPU of everything, % of a core", value=seen.idle_percent, at_most=FLOOR_IDLE_PERCENT),
        Floor(name="command round trip when idle, p95 ms", value=1000 * percentile(seen.command_s, 95),
              at_most=FLOOR_COMMAND_MS),
    ]  # fmt: skip
    return [
        _quartiles("daemon: added latency, median ms", added_ms(seen.daemon()), FLOOR_ADDED_MS),
        _quartiles("daemon: added time to first chunk, median ms", added_first_ms(seen.daemon()), FLOOR_ADDED_MS),
        _quartiles(f"daemon: throughput lost at {many}, %", lost_percent(seen.daemon(), "fresh"), FLOOR_LOSS_PERCENT),
        _quartiles("daemon: throughput lost, prompts cached, %", lost_percent(seen.daemon(), "cached"),
                   FLOOR_LOSS_PERCENT),
        _quartiles("front alone: added latency, median ms", added_ms(front), FLOOR_ADDED_MS),
        _quartiles("front alone: added time to first chunk, median ms", added_first_ms(front), FLOOR_ADDED_MS),
        *lost,
    ]  # fmt: skip


def _quartiles(name: str, values: Sequence[float], at_most: float) -> Floor:
    """The median of pairs, with the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else 3 * list(values)
    return Floor(name=name, value=middle, at_most=at_most, low=low, high=high)


def added_ms(seen: Sequence[Against]) -> list[float]:
    """What the other side adds to a short request, pair by pair."""
    return [ms for one in seen for ms in _differences_ms(one.short.whole_front_s, one.short.whole_direct_s)]


def added_first_ms(seen: Sequence[Against]) -> list[float]:
    """The same up to its first chunk."""
    return [ms for one in seen for ms in _differences_ms(one.short.first_front_s, one.short.first_direct_s)]


def _differences_ms(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [1000 * (a - b) for a, b in zip(ours, theirs, strict=True)]


def lost_percent(seen: Sequence[Against], leg: Leg) -> list[float]:
    """Throughput that the other side loses in `leg`, pair by pair of blocks."""
    return [pair.throughput_loss_percent for one in seen for pair in one.legs[leg]]


def lost_short_percent(seen: Sequence[Against]) -> list[float]:
    """The same on short prompts, one value for each of `seen`."""
    return [
        100 * (1 - statistics.median(one.short.rates_front) / statistics.median(one.short.rates_direct)) for one in seen
    ]


def text(seen: Overhead) -> str:
    rows = [
        [floor.name, f"{floor.value:.2f}", floor.spread, f"{floor.at_most:g}", "yes" if floor.kept else "NO"]
        for floor in floors(seen)
    ]
    notes = [
        f"Against SGLang with its own cache, asked directly; nothing is evicted; {len(seen.boots)} sets of engines.",
        *_beside(seen),
    ]
    faults = [f"doubtful: {fault}" for fault in seen.faults()]
    header = ["", "measured", "quartiles", "at most", "kept"]
    return "\n".join([table(header, rows), "", *notes, *faults, "PASSED" if seen.passed else "MISSED"])


def _beside(seen: Overhead) -> list[str]:
    """Every boot for itself, and what another engine of SGLang's differs by in the daemon's place."""
    told: list[str] = []
    for name, side in (("the daemon", seen.daemon()), ("another engine of SGLang's", seen.twins())):
        measures = {
            "latency, ms": [statistics.median(added_ms([one])) for one in side],
            "throughput lost, fresh, %": [statistics.median(lost_percent([one], "fresh")) for one in side],
            "cached, %": [statistics.median(lost_percent([one], "cached")) for one in side],
            "short, %": lost_short_percent(side),
        }
        words = [f"{what} {' '.join(f'{value:+.1f}' for value in values)}" for what, values in measures.items()]
        told.append(f"{name}, boot by boot: {'; '.join(words)}")
    return told
