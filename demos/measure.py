"""From outcomes to numbers: what a caller saw of one drive, and Belady's bound for what the engine was asked."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from radixdeck.storage.bound import Request, belady_bound
from radixdeck.storage.session import open_session

from .apart import Drive


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One drive. Rates are 0 to 1; times in seconds; only answered requests count, `failed` says how many were not.

    `hit_rate`: cached over prompt tokens, as the engine reports them in each answer's usage.
    """

    requests: int
    failed: int
    retried: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    hit_rate: float
    ttft_mean_s: float
    ttft_p50_s: float
    ttft_p95_s: float
    latency_p50_s: float
    requests_per_s: float
    tokens_per_s: float
    wall_s: float


def summarise(drive: Drive) -> Summary:
    """Numbers of a drive; all zero where nothing was answered."""
    answered = [outcome for outcome in drive.outcomes if not outcome.error]
    prompt, cached, output = (
        sum(getattr(outcome, field) for outcome in answered)
        for field in ("prompt_tokens", "cached_tokens", "output_tokens")
    )
    ttft_s = [outcome.ttft_s for outcome in answered]
    wall_s = drive.wall_s
    return Summary(
        requests=len(drive.outcomes),
        failed=len(drive.outcomes) - len(answered),
        retried=sum(outcome.attempts > 1 for outcome in drive.outcomes),
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        hit_rate=cached / prompt if prompt else 0.0,
        ttft_mean_s=statistics.fmean(ttft_s) if ttft_s else 0.0,
        ttft_p50_s=percentile(ttft_s, 50),
        ttft_p95_s=percentile(ttft_s, 95),
        latency_p50_s=percentile([outcome.latency_s for outcome in answered], 50),
        requests_per_s=len(answered) / wall_s if wall_s else 0.0,
        tokens_per_s=(prompt + output) / wall_s if wall_s else 0.0,
        wall_s=wall_s,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of `values` do not exceed; 0 for no values."""
    if not values:
        return 0.0
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (0 for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


class Bound(msgspec.Struct, frozen=True):
    """`hit_rate`: Belady's bound, 0 to 1: no eviction order without prefetch is above it. `requests`: of those asked
    for, how many the recording holds."""

    hit_rate: float
    requests: int


def demand_of(recording: Path, rids: Collection[str]) -> list[Request]:
    """Those of the requests `rids` that the recording holds. Raises SessionError if it cannot be read."""
    wanted = set(rids)
    with open_session(recording) as session:
        return [request for request in session.requests() if request.rid in wanted]


def bound_of(requests: Sequence[Request], capacity_tokens: int) -> Bound:
    """The bound on `requests` alone, whatever else the recording holds."""
    return Bound(belady_bound(requests, capacity_tokens).hit_rate, len(requests))
