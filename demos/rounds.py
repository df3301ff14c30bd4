"""The whole daemon against SGLang without it: two engines, the same requests, in alternation.

KV memory holds everything the requests bring, so no policy has anything to choose and both sides compute the same: what
is left between the two is what the daemon costs (plug-in, events, recording, MQTT and front). Two engines that do the
same differ too, and keep differing for as long as they live: every boot therefore brings engines of its own, and with
them a second one of SGLang's, which is put in the daemon's place. An engine sleeps while another is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from .apart import Drive, drive_apart
from .drive import Plan
from .live import Live
from .measure import Summary, summarise
from .probe import Probe, probe_apart
from .progress import Counting, Progress
from .stock import flush
from .workloads import REPORT_SEEDS, Turn, WorkloadSpec, generate

Leg = Literal["cached", "fresh"]
"""Blocks of many requests at a time. `cached`: every prompt is cached, so the daemon weighs most; `fresh`: no two share
a prefix, so that every prompt is computed whole."""
LEGS: tuple[Leg, ...] = get_args(Leg)
Side = Literal["sglang", "other"]
SIDES: tuple[Side, ...] = get_args(Side)
HIT_TOLERANCE_POINTS = 0.5


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A block on SGLang and the same on the other side, which is the daemon or a second SGLang."""

    sglang: Summary
    other: Summary

    @property
    def throughput_loss_percent(self) -> float:
        """Of the other side. Zero if nothing was answered without it, which is a fault of its own."""
        without = self.sglang.requests_per_s
        return 100 * (1 - self.other.requests_per_s / without) if without else 0.0


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody against SGLang: short cached prompts, and the legs' blocks."""

    short: Probe
    legs: dict[Leg, list[Pair]]


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """One set of engines. `evictions`: of the daemon's."""

    evictions: int
    daemon: Against
    twin: Against

    def faults(self) -> list[str]:
        """What makes the comparison itself doubtful, in words."""
        found = [f"{self.evictions} evictions, where none should be"] if self.evictions else []
        for name, against in (("daemon", self.daemon), ("another SGLang", self.twin)):
            for leg, pairs in against.legs.items():
                for number, pair in enumerate(pairs, start=1):
                    found += [f"{name}, {leg} {number}: {fault}" for fault in faults_of(pair)]
        return found


def faults_of(pair: Pair) -> list[str]:
    """Why the two sides of `pair` were not asked, or did not do, the same."""
    found: list[str] = []
    for name, summary in (("SGLang", pair.sglang), ("the other side", pair.other)):
        if summary.failed or summary.retried:
            found.append(f"{name}: {summary.failed} failed, {summary.retried} needed another try")
    if pair.sglang.prompt_tokens != pair.other.prompt_tokens:
        found.append(f"prompts differ: {pair.sglang.prompt_tokens} and {pair.other.prompt_tokens} tokens")
    if 100 * abs(pair.sglang.hit_rate - pair.other.hit_rate) > HIT_TOLERANCE_POINTS:
        found.append(f"hit rates differ: {pair.sglang.hit_rate:.3f} and {pair.other.hit_rate:.3f}")
    return found


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked at every boot: `pairs` of short requests, `blocks` of each leg of `requests` requests (of
    `fresh`, which takes longest, half as many) at `concurrency`."""

    pairs: int
    blocks: int
    requests: int
    concurrency: int


async def measure(urls: tuple[str, str], live: Live, amount: Amount, progress: Progress) -> Boot:
    """The daemon and the second stock engine of `urls` against the first one. Raises DriveError, aiohttp.ClientError or
    WorkloadError."""
    before = live.totals.evictions
    sides = (_Sides(urls[0], live.daemon.url, amount, progress), _Sides(urls[0], urls[1], amount, progress))
    shorts: list[Probe] = []
    for name, side in zip(("the daemon", "another SGLang"), sides, strict=True):
        progress.say(f"short prompts, {name}: {2 * amount.pairs} pairs, {amount.blocks} pairs of blocks")
        shorts.append(await side.short())
    legs: list[dict[Leg, list[Pair]]] = [{leg: [] for leg in LEGS} for _ in sides]
    turns = _turns(REPORT_SEEDS[0], amount.requests, amount.concurrency)
    for side in sides:
        await side.prepare(turns)
    for _ in range(amount.blocks):
        for side, found in zip(sides, legs, strict=True):
            found["cached"].append(await side.pair("cached", turns))
    for seed in range(REPORT_SEEDS[0], REPORT_SEEDS[0] + amount.blocks):
        fresh = unshared(_turns(seed, amount.requests // 2, amount.concurrency), f"Copy {seed}")
        for side, found in zip(sides, legs, strict=True):
            await side.flush()
            found["fresh"].append(await side.pair("fresh", fresh))
    evictions = live.totals.evictions - before
    daemon, twin = (Against(short=short, legs=found) for short, found in zip(shorts, legs, strict=True))
    return Boot(evictions=evictions, daemon=daemon, twin=twin)


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
    """SGLang at one URL and the other side at another; which goes first alternates from pair to pair."""

    def __init__(self, sglang: str, other: str, amount: Amount, progress: Progress) -> None:
        self._roots: dict[Side, str] = {"sglang": sglang, "other": other}
        self._amount, self._progress = amount, progress
        self._order: tuple[Side, ...] = SIDES

    async def short(self) -> Probe:
        sglang, other = (f"{root}/v1" for root in self._roots.values())
        return await probe_apart(sglang, other, self._amount.pairs, self._amount.blocks, self._amount.concurrency)

    async def prepare(self, turns: list[Turn]) -> None:
        """Have every prompt cached."""
        await self.flush()
        for side in SIDES:
            await self._block(side, "cached, once before", turns)

    async def pair(self, leg: Leg, turns: list[Turn]) -> Pair:
        drives = {side: summarise(await self._block(side, leg, turns)) for side in self._order}
        self._order = (self._order[1], self._order[0])
        return Pair(sglang=drives["sglang"], other=drives["other"])

    async def flush(self) -> None:
        for root in self._roots.values():
            await flush(root)

    async def _block(self, side: Side, label: str, turns: list[Turn]) -> Drive:
        plan = Plan(turns=turns, concurrency=self._amount.concurrency, session_prefix=f"{label}-")
        said = Counting(self._progress, f"{label}, {self._roots[side]}", len(turns))
        return await drive_apart(plan, f"{self._roots[side]}/v1", said)
