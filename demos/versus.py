"""Two systems on the same requests: what counts as a repetition, when the comparison is sound, and the verdict."""

from __future__ import annotations

import statistics
from typing import Any, Literal, get_args

import msgspec

from .measure import Bound, Summary, mean_and_spread

FLOOR_HIT_POINTS = 13.0
FLOOR_TTFT_PERCENT = -12.0
FLOOR_THROUGHPUT_PERCENT = 6.0
ROOM_POINTS = 20.0
"""What the bound must be above SGLang's own cache for a setting to be a tight one, to which the floors belong."""
Side = Literal["sglang", "radixdeck"]
SIDES: tuple[Side, ...] = get_args(Side)


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides on the requests of one seed. `bound`: on the requests as our side recorded them."""

    seed: int
    first: Side
    sglang: Summary
    radixdeck: Summary
    bound: Bound

    def side(self, name: Side) -> Summary:
        return self.sglang if name == "sglang" else self.radixdeck

    @property
    def hit_points(self) -> float:
        """Percentage points of hit rate above SGLang's own cache."""
        return 100 * (self.radixdeck.hit_rate - self.sglang.hit_rate)

    @property
    def room_points(self) -> float:
        """What the bound leaves above SGLang's own cache, percentage points."""
        return 100 * (self.bound.hit_rate - self.sglang.hit_rate)

    @property
    def ttft_percent(self) -> float:
        """Change of the mean time to first token, percent; negative is faster."""
        return _percent(self.radixdeck.ttft_mean_s, self.sglang.ttft_mean_s)

    @property
    def throughput_percent(self) -> float:
        return _percent(self.radixdeck.requests_per_s, self.sglang.requests_per_s)


def _percent(ours: float, theirs: float) -> float:
    return 100 * (ours / theirs - 1) if theirs else 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the repetitions against the floors. `missed`: floors that were not reached, in words. `faults`: what
    makes the comparison itself doubtful."""

    hit_points: float
    ttft_percent: float
    throughput_percent: float
    room_points: float
    missed: list[str]
    faults: list[str]
    passed: bool


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One workload at one size of KV memory. `tight`: the floors are for it. `workload`: its settings. `lost`: what
    could not be measured, in words."""

    name: str
    kv_tokens: int
    tight: bool
    workload: dict[str, Any]
    repetitions: list[Repetition]
    lost: list[str] = []

    def spread(self, measure: str) -> tuple[float, float]:
        """Mean and spread over the repetitions of one of Repetition's measures."""
        return mean_and_spread([getattr(repetition, measure) for repetition in self.repetitions])

    def mean(self, side: Side, measure: str) -> float:
        """Mean over the repetitions of one of Summary's measures."""
        return statistics.fmean(getattr(repetition.side(side), measure) for repetition in self.repetitions)

    @property
    def bound(self) -> float:
        """Belady's bound, mean over the repetitions, 0 to 1."""
        return statistics.fmean(repetition.bound.hit_rate for repetition in self.repetitions)


def judge(told: Comparison) -> Verdict:
    """Floors, on the mean: 13 points more hit rate, 12 % less mean TTFT, 6 % more requests per second; and nothing may
    be wrong with the runs. Where the setting is not `tight` only the latter counts."""
    faults = [*told.lost, *(fault for repetition in told.repetitions for fault in _faults(repetition))]
    means = {
        name: told.spread(name)[0] if told.repetitions else 0.0
        for name in ("hit_points", "ttft_percent", "throughput_percent", "room_points")
    }
    missed = _missed(**means) if told.tight and told.repetitions else []
    return Verdict(**means, missed=missed, faults=faults, passed=bool(told.repetitions) and not missed and not faults)


def _missed(hit_points: float, ttft_percent: float, throughput_percent: float, room_points: float) -> list[str]:
    missed: list[str] = []
    if hit_points < FLOOR_HIT_POINTS:
        missed.append(f"hit rate {hit_points:+.1f} points, floor {FLOOR_HIT_POINTS:+.0f}, bound {room_points:+.1f}")
    if ttft_percent > FLOOR_TTFT_PERCENT:
        missed.append(f"mean TTFT {ttft_percent:+.1f} %, floor {FLOOR_TTFT_PERCENT:+.0f} %")
    if throughput_percent < FLOOR_THROUGHPUT_PERCENT:
        missed.append(f"throughput {throughput_percent:+.1f} %, floor {FLOOR_THROUGHPUT_PERCENT:+.0f} %")
    return missed


def _faults(r: Repetition) -> list[str]:
    told: list[str] = []
    for name in SIDES:
        side = r.side(name)
        if side.failed or side.retried:
            told.append(f"seed {r.seed}: {name}: {side.failed} requests failed, {side.retried} needed another try")
    if r.sglang.prompt_tokens != r.radixdeck.prompt_tokens:
        told.append(f"seed {r.seed}: prompts differ: {r.sglang.prompt_tokens} and {r.radixdeck.prompt_tokens} tokens")
    if r.bound.requests != r.radixdeck.requests:
        told.append(f"seed {r.seed}: the bound covers {r.bound.requests} of {r.radixdeck.requests} requests")
    return told
