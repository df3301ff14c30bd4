"""Two systems on the same requests: what counts as a repetition, when the comparison is sound, and the verdict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from .measure import Bound, Summary, mean_and_spread
from .report import milliseconds, points, table

FLOOR_HIT_POINTS = 13.0
FLOOR_TTFT_PERCENT = -12.0
Side = Literal["sglang", "radixdeck"]


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides on the requests of one seed. `bound`: on the requests as our side recorded them."""

    seed: int
    first: Side
    sglang: Summary
    radixdeck: Summary
    bound: Bound

    @property
    def hit_points(self) -> float:
        """Percentage points of hit rate above SGLang's own cache."""
        return 100 * (self.radixdeck.hit_rate - self.sglang.hit_rate)

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
    """Means over the repetitions against the floors. `faults`: what makes the comparison itself doubtful."""

    hit_points: float
    ttft_percent: float
    throughput_percent: float
    faults: list[str]
    passed: bool


def judge(repetitions: Sequence[Repetition]) -> Verdict:
    """Floors: at least 13 points more hit rate and at least 12 % less mean TTFT, and nothing wrong with the runs."""
    hit_points = statistics.fmean(r.hit_points for r in repetitions)
    ttft_percent = statistics.fmean(r.ttft_percent for r in repetitions)
    faults = [fault for r in repetitions for fault in _faults(r)]
    return Verdict(
        hit_points=hit_points,
        ttft_percent=ttft_percent,
        throughput_percent=statistics.fmean(r.throughput_percent for r in repetitions),
        faults=faults,
        passed=hit_points >= FLOOR_HIT_POINTS and ttft_percent <= FLOOR_TTFT_PERCENT and not faults,
    )


def _faults(r: Repetition) -> list[str]:
    told: list[str] = []
    for name, side in (("sglang", r.sglang), ("radixdeck", r.radixdeck)):
        if side.failed or side.retried:
            told.append(f"seed {r.seed}: {name}: {side.failed} requests failed, {side.retried} needed another try")
    if r.sglang.prompt_tokens != r.radixdeck.prompt_tokens:
        told.append(f"seed {r.seed}: prompts differ: {r.sglang.prompt_tokens} and {r.radixdeck.prompt_tokens} tokens")
    if r.bound.requests != r.radixdeck.requests:
        told.append(f"seed {r.seed}: the bound covers {r.bound.requests} of {r.radixdeck.requests} requests")
    return told


def text(repetitions: Sequence[Repetition], verdict: Verdict) -> str:
    """The table, one line per measurement, and the verdict last."""
    rows: list[list[str]] = []
    for r in repetitions:
        for name, side in (("sglang", r.sglang), ("radixdeck", r.radixdeck)):
            times = (milliseconds(t) for t in (side.ttft_mean_s, side.ttft_p50_s, side.ttft_p95_s))
            rows.append([f"{r.seed} {name}", points(side.hit_rate), *times, f"{side.requests_per_s:.2f}"])
        change = [f"{r.hit_points:+.1f}", f"{r.ttft_percent:+.1f} %", "", "", f"{r.throughput_percent:+.1f} %"]
        rows += [["  change", *change], ["  Belady's bound", points(r.bound.hit_rate), "", "", "", ""]]
    header = ["seed and system", "hit rate %", "TTFT mean ms", "p50", "p95", "requests/s"]
    spread = (
        mean_and_spread([r.hit_points for r in repetitions]),
        mean_and_spread([r.ttft_percent for r in repetitions]),
    )
    lines = [
        table(header, rows),
        "",
        f"hit rate  {spread[0][0]:+.1f} points (spread {spread[0][1]:.1f}), floor {FLOOR_HIT_POINTS:+.0f}",
        f"mean TTFT {spread[1][0]:+.1f} % (spread {spread[1][1]:.1f}), floor {FLOOR_TTFT_PERCENT:+.0f} %",
        *(f"doubtful: {fault}" for fault in verdict.faults),
        "PASSED" if verdict.passed else "MISSED",
    ]
    return "\n".join(lines)
