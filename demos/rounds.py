"""The whole daemon against SGLang without it: two engines, the same requests, one after the other in alternation.

KV memory holds everything the requests bring, so no policy has anything to choose and hit rates are equal: what is left
between the two is what the daemon costs (plug-in, events, recording, MQTT and front). An engine sleeps while the other
is measured. Each round has requests of its own and three legs: `alone`, one request at a time into an empty cache;
`cached`, the same again, many at a time, every prompt cached, where the daemon weighs most; `together`, many at a time
into an empty cache.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from .apart import Drive, drive_apart
from .drive import Plan
from .live import Live
from .measure import Summary, summarise
from .progress import Counting, Progress
from .stock import flush
from .versus import Side
from .workloads import REPORT_SEEDS, WorkloadSpec, generate

Leg = Literal["alone", "cached", "together"]
LEGS: tuple[Leg, ...] = get_args(Leg)
HIT_TOLERANCE_POINTS = 1.0


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One leg on both sides. `added_s`, `added_first_s`: what the daemon adds to each request's latency and to its time
    to first token, seconds, request by request."""

    sglang: Summary
    radixdeck: Summary
    added_s: list[float]
    added_first_s: list[float]

    @property
    def throughput_loss_percent(self) -> float:
        """Zero if nothing was answered without the daemon, which is a fault of its own."""
        return (
            100 * (1 - self.radixdeck.requests_per_s / self.sglang.requests_per_s)
            if self.sglang.requests_per_s
            else 0.0
        )


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """All legs on the requests of one seed."""

    seed: int
    legs: dict[Leg, Pair]


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """`evictions`: of the daemon's engine over all rounds. `concurrency`: of the legs `cached` and `together`."""

    concurrency: int
    evictions: int
    rounds: list[Round]

    @property
    def added_ms(self) -> list[float]:
        """Per round: median of what the daemon adds to the latency of a request that is alone."""
        return [_median_ms(told.legs["alone"].added_s) for told in self.rounds]

    @property
    def added_first_ms(self) -> list[float]:
        """Per round: the same for the time to first token."""
        return [_median_ms(told.legs["alone"].added_first_s) for told in self.rounds]

    def loss_percent(self, leg: Leg) -> list[float]:
        """Per round: throughput lost in `leg`."""
        return [told.legs[leg].throughput_loss_percent for told in self.rounds]

    def faults(self) -> list[str]:
        """What makes the comparison itself doubtful, in words."""
        found = [f"{self.evictions} evictions, where none should be"] if self.evictions else []
        for told in self.rounds:
            for leg, pair in told.legs.items():
                found += [f"seed {told.seed}, {leg}: {fault}" for fault in faults_of(pair)]
        return found


def _median_ms(values_s: Sequence[float]) -> float:
    return 1000 * statistics.median(values_s) if values_s else 0.0


def faults_of(pair: Pair) -> list[str]:
    """Why the two sides of `pair` were not asked, or did not do, the same."""
    found: list[str] = []
    for side in get_args(Side):
        summary: Summary = getattr(pair, side)
        if summary.failed or summary.retried:
            found.append(f"{side}: {summary.failed} failed, {summary.retried} needed another try")
    if pair.sglang.prompt_tokens != pair.radixdeck.prompt_tokens:
        found.append(f"prompts differ: {pair.sglang.prompt_tokens} and {pair.radixdeck.prompt_tokens} tokens")
    if 100 * abs(pair.sglang.hit_rate - pair.radixdeck.hit_rate) > HIT_TOLERANCE_POINTS:
        found.append(f"hit rates differ: {pair.sglang.hit_rate:.3f} and {pair.radixdeck.hit_rate:.3f}")
    return found


def pair_of(sglang: Drive, radixdeck: Drive) -> Pair:
    """Both drives of the same turns; requests that failed on a side are left out of the differences."""
    both = [(a, b) for a, b in zip(sglang.outcomes, radixdeck.outcomes, strict=True) if not (a.error or b.error)]
    return Pair(
        sglang=summarise(sglang),
        radixdeck=summarise(radixdeck),
        added_s=[b.latency_s - a.latency_s for a, b in both],
        added_first_s=[b.ttft_s - a.ttft_s for a, b in both],
    )


async def measure(url: str, live: Live, count: int, requests: int, concurrency: int, progress: Progress) -> Rounds:
    """`count` rounds between the stock engine at `url` and `live`. Raises DriveError, LiveError or WorkloadError."""
    before = live.totals.evictions
    rounds: list[Round] = []
    for number in range(count):
        seed = REPORT_SEEDS[0] + number
        progress.say(f"round {number + 1} of {count}, seed {seed}")
        sides = _Sides(url, live, progress, sglang_first=number % 2 == 0)
        spec = WorkloadSpec(seed=seed, requests=requests, sessions=2 * concurrency, think_s=(0.0, 0.0))
        turns = generate(spec)
        legs: dict[Leg, Pair] = {}
        for leg in LEGS:
            plan = Plan(turns=turns, concurrency=1 if leg == "alone" else concurrency, session_prefix=f"{leg}-")
            legs[leg] = await sides.drive(leg, plan)
        rounds.append(Round(seed=seed, legs=legs))
    return Rounds(concurrency=concurrency, evictions=live.totals.evictions - before, rounds=rounds)


class _Sides:
    """The two ways to be served; which goes first alternates leg by leg."""

    def __init__(self, url: str, live: Live, progress: Progress, *, sglang_first: bool) -> None:
        self._url, self._live, self._progress, self._sglang_first = url, live, progress, sglang_first

    async def drive(self, leg: Leg, plan: Plan) -> Pair:
        order: Sequence[Side] = ("sglang", "radixdeck") if self._sglang_first else ("radixdeck", "sglang")
        self._sglang_first = not self._sglang_first
        drives = {side: await self._one(side, leg, plan) for side in order}
        return pair_of(drives["sglang"], drives["radixdeck"])

    async def _one(self, side: Side, leg: Leg, plan: Plan) -> Drive:
        if leg != "cached":
            await self._flush(side)
        base_url = f"{self._url}/v1" if side == "sglang" else self._live.base_url
        return await drive_apart(plan, base_url, Counting(self._progress, f"{side}, {leg}", len(plan.turns)))

    async def _flush(self, side: Side) -> None:
        if side == "sglang":
            await flush(self._url)
        else:
            await self._live.order("flush", {}, "bench: every leg starts alike")
