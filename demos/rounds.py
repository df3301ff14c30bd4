"""The whole daemon against SGLang without it: two engines, the same requests, in alternation.

KV memory holds everything the requests bring, so no policy has anything to choose and both sides compute the same: what
is left between the two is what the daemon costs (plug-in, events, recording, MQTT and front). An engine sleeps while
the other is measured. Three legs: `alone`, one request at a time, each asked on both sides before the next one, so that
they meet the same machine; `cached`, blocks of many at a time, every prompt cached, where the daemon weighs most;
`fresh`, blocks of many at a time of which no two share a prefix, so that every prompt is computed whole.
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
from .pairs import pairs_apart
from .progress import Counting, Progress
from .stock import flush
from .versus import SIDES, Side
from .workloads import REPORT_SEEDS, Turn, WorkloadSpec, generate

Leg = Literal["alone", "cached", "fresh"]
LEGS: tuple[Leg, ...] = get_args(Leg)
HIT_TOLERANCE_POINTS = 0.5


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The same turns on both sides. `added_s`, `added_first_s`: what the daemon adds to each request's latency and to
    its time to first token, seconds, request by request."""

    sglang: Summary
    radixdeck: Summary
    added_s: list[float]
    added_first_s: list[float]

    @property
    def throughput_loss_percent(self) -> float:
        """Zero if nothing was answered without the daemon, which is a fault of its own."""
        without = self.sglang.requests_per_s
        return 100 * (1 - self.radixdeck.requests_per_s / without) if without else 0.0


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """Several pairs for each leg. `evictions`: of the daemon's engine in all of them. `concurrency`: of the legs
    `cached` and `fresh`. `twins`: the leg `alone` between two engines of SGLang's, the second one in our place: what is
    between two processes that do the same."""

    concurrency: int
    evictions: int
    legs: dict[Leg, list[Pair]]
    twins: list[Pair] = []

    @property
    def added_ms(self) -> list[float]:
        """Per pair: median of what the daemon adds to the latency of a request that is alone."""
        return [_median_ms(pair.added_s) for pair in self.legs["alone"]]

    @property
    def twins_ms(self) -> list[float]:
        """Per pair: the same for an engine of SGLang's in the daemon's place."""
        return [_median_ms(pair.added_s) for pair in self.twins]

    def loss_percent(self, leg: Leg) -> list[float]:
        """Per pair: throughput lost in `leg`."""
        return [pair.throughput_loss_percent for pair in self.legs[leg]]

    def faults(self) -> list[str]:
        """What makes the comparison itself doubtful, in words."""
        found = [f"{self.evictions} evictions, where none should be"] if self.evictions else []
        for leg, pairs in self.legs.items():
            for number, pair in enumerate(pairs, start=1):
                found += [f"{leg} {number}: {fault}" for fault in faults_of(pair)]
        return found


def _median_ms(values_s: Sequence[float]) -> float:
    return 1000 * statistics.median(values_s) if values_s else 0.0


def faults_of(pair: Pair) -> list[str]:
    """Why the two sides of `pair` were not asked, or did not do, the same."""
    found: list[str] = []
    for side in SIDES:
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


async def measure(
    urls: tuple[str, str], live: Live, rounds: int, blocks: int, requests: int, concurrency: int, progress: Progress
) -> Rounds:
    """`rounds` of the leg `alone` and `blocks` of each of the others, of `requests` requests (of `fresh`, which takes
    longest, half as many), between the first of the stock engines at `urls` and `live`.

    Raises DriveError, aiohttp.ClientError or WorkloadError.
    """
    before = live.totals.evictions
    sides = _Sides(urls[0], live, concurrency, progress)
    legs: dict[Leg, list[Pair]] = {
        "alone": [await sides.alone(_turns(seed, requests, concurrency)) for seed in _seeds(rounds)],
        "cached": await sides.cached(_turns(REPORT_SEEDS[0], requests, concurrency), blocks),
        "fresh": [await sides.fresh(_turns(seed, requests // 2, concurrency), seed) for seed in _seeds(blocks)],
    }
    twins = [await sides.twins(urls[1], _turns(seed, requests, concurrency)) for seed in _seeds(rounds)]
    return Rounds(concurrency=concurrency, evictions=live.totals.evictions - before, legs=legs, twins=twins)


def _seeds(count: int) -> range:
    return range(REPORT_SEEDS[0], REPORT_SEEDS[0] + count)


def _turns(seed: int, requests: int, concurrency: int) -> list[Turn]:
    return generate(WorkloadSpec(seed=seed, requests=requests, sessions=2 * concurrency, think_s=(0.0, 0.0)))


def unshared(turns: Sequence[Turn], mark: str) -> list[Turn]:
    """The same turns, none of which has a prefix in common with another one or waits for another one."""
    return [
        msgspec.structs.replace(
            turn,
            session=f"{mark}-{number}",
            tools=[],
            messages=[{"role": "system", "content": f"{mark} {number}, read first."}, *turn.messages],
        )
        for number, turn in enumerate(turns)
    ]


class _Sides:
    """The two ways to be served; which goes first alternates from pair to pair."""

    def __init__(self, url: str, live: Live, concurrency: int, progress: Progress) -> None:
        self._urls: dict[Side, str] = {"sglang": f"{url}/v1", "radixdeck": live.base_url}
        self._roots: dict[Side, str] = {"sglang": url, "radixdeck": live.daemon.url}
        self._concurrency, self._progress = concurrency, progress
        self._order: tuple[Side, ...] = SIDES

    async def alone(self, turns: list[Turn]) -> Pair:
        await self._flush()
        said = Counting(self._progress, "one at a time, each on both sides", 2 * len(turns))
        plan = Plan(turns=turns, session_prefix="alone-")
        return pair_of(*await pairs_apart(plan, (self._urls["sglang"], self._urls["radixdeck"]), said))

    async def twins(self, twin: str, turns: list[Turn]) -> Pair:
        for root in (self._roots["sglang"], twin):
            await flush(root)
        said = Counting(self._progress, "one at a time, on two engines of SGLang's", 2 * len(turns))
        return pair_of(*await pairs_apart(Plan(turns=turns), (self._urls["sglang"], f"{twin}/v1"), said))

    async def cached(self, turns: list[Turn], blocks: int) -> list[Pair]:
        await self._flush()
        for side in SIDES:
            await self._block(side, "cached, once before", turns)
        return [await self._pair("cached", turns) for _ in range(blocks)]

    async def fresh(self, turns: list[Turn], seed: int) -> Pair:
        await self._flush()
        return await self._pair("fresh", unshared(turns, f"Copy {seed}"))

    async def _pair(self, leg: Leg, turns: list[Turn]) -> Pair:
        drives = {side: await self._block(side, leg, turns) for side in self._order}
        self._order = (self._order[1], self._order[0])
        return pair_of(drives["sglang"], drives["radixdeck"])

    async def _block(self, side: Side, label: str, turns: list[Turn]) -> Drive:
        plan = Plan(turns=turns, concurrency=self._concurrency, session_prefix=f"{label}-")
        return await drive_apart(plan, self._urls[side], Counting(self._progress, f"{side}, {label}", len(turns)))

    async def _flush(self) -> None:
        for root in self._roots.values():
            await flush(root)
