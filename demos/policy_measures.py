"""What a policy may be judged by: one number of a drive each, by name; and a floor for how it may change."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from .apart import Drive
from .drive import Outcome
from .measure import percentile
from .memo_trace import Seen, wrong_answers

Change = Literal["percent", "difference"]


@dataclass(frozen=True)
class Measure:
    """`read`: the number, in `unit`, of those of a drive's answered requests that `whose` names (agents by their
    names' beginning; '' for all), and of the drive's seconds from first request to last answer."""

    name: str
    unit: str
    read: Callable[[Sequence[Outcome], float], float]
    whose: str = ""

    def of(self, drive: Drive) -> float:
        """The number for this drive; 0 where nobody was answered."""
        mine = [o for o in drive.outcomes if not o.error and o.agent.startswith(self.whose)]
        return self.read(mine, drive.wall_s) if mine else 0.0


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens`: that the engine computed ahead of any request, as its events tell; `used_tokens`: of these, found by
    the request they were meant for, as the policy tells that asked for them."""

    tokens: int = 0
    used_tokens: int = 0


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What of a drive is not in its outcomes. `ahead`: nothing is wherever the policy is off; `tool_runs`: as the
    server of the tools counts them."""

    ahead: Ahead = Ahead()
    tool_runs: int = 0


@dataclass(frozen=True)
class Count:
    """`read`: a number, in `unit`, of what was counted of a drive."""

    name: str
    unit: str
    read: Callable[[Counted], float]


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What switching the policy on must do to a measure, on the mean over repetitions: change it by `least` or more,
    and by `most` or less, in percent of what it was or, as a `difference`, in the measure's own unit."""

    measure: str
    change: Change = "percent"
    least: float | None = None
    most: float | None = None

    def kept(self, changed: float) -> bool:
        return (self.least is None or changed >= self.least) and (self.most is None or changed <= self.most)

    def margin(self, changed: float) -> float:
        """By how much it is kept: how far the nearer bound is away."""
        return min(abs(changed - bound) for bound in (self.least, self.most) if bound is not None)

    def words(self, unit: str) -> str:
        """Such as 'at least +20 %'."""
        in_unit = "%" if self.change == "percent" else unit
        bounds = (("at least", self.least), ("at most", self.most))
        return " and ".join(f"{word} {bound:+g} {in_unit}" for word, bound in bounds if bound is not None)


def changed(change: Change, off: float, on: float) -> float:
    """How much a measure changed; 0 percent of nothing is 0."""
    if change == "difference":
        return on - off
    return 100 * (on / off - 1) if off else 0.0


def _hit_rate(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    return 100 * sum(o.cached_tokens for o in outcomes) / max(1, sum(o.prompt_tokens for o in outcomes))


def _requests_per_s(outcomes: Sequence[Outcome], wall_s: float) -> float:
    return len(outcomes) / wall_s if wall_s else 0.0


def _ttft_mean(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    return 1000 * statistics.fmean(o.ttft_s for o in outcomes)


def ttft_percentile(percent: float) -> Callable[[Sequence[Outcome], float], float]:
    """Milliseconds from sending to the first chunk, waiting at the door included, at this percentile."""
    return lambda outcomes, _wall_s: 1000 * percentile([o.ttft_s for o in outcomes], percent)


def _latency_p50(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    return 1000 * percentile([o.latency_s for o in outcomes], 50)


def _sessions_s(outcomes: Sequence[Outcome]) -> list[float]:
    """How long each session took from its first request to its last answer, waiting included."""
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for o in outcomes:
        began[o.session] = min(o.start_s, began.get(o.session, o.start_s))
        ended[o.session] = max(o.start_s + o.latency_s, ended.get(o.session, 0.0))
    return [ended[session] - began[session] for session in began]


def _session_mean(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    return statistics.fmean(_sessions_s(outcomes))


def calls_of(outcomes: Sequence[Outcome]) -> list[Seen]:
    """The calls of tools that were made, in the order of their beginning."""
    return sorted((o.seen for o in outcomes if o.seen is not None), key=lambda seen: seen.began_s)


def _tool_mean(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    calls = calls_of(outcomes)
    return 1000 * statistics.fmean(call.took_s for call in calls) if calls else 0.0


def _wrong(outcomes: Sequence[Outcome], _wall_s: float) -> float:
    return float(len(wrong_answers(calls_of(outcomes))))


def _wasted(counted: Counted) -> float:
    """Percent of what was computed ahead that no request found until the drive was over."""
    ahead = counted.ahead
    return 100 * max(0, ahead.tokens - ahead.used_tokens) / max(1, ahead.tokens)


HIT_RATE = Measure("hit rate", "points", _hit_rate)
REQUESTS_PER_S = Measure("requests/s", "/s", _requests_per_s)
TTFT_MEAN = Measure("TTFT mean", "ms", _ttft_mean)
TTFT_P50 = Measure("TTFT p50", "ms", ttft_percentile(50))
TTFT_P99 = Measure("TTFT p99", "ms", ttft_percentile(99))
LATENCY_P50 = Measure("latency p50", "ms", _latency_p50)
SESSION_MEAN = Measure("session mean", "s", _session_mean)
TOOL_MEAN = Measure("tool call mean", "ms", _tool_mean)
WRONG = Measure("wrong answers", "answers", _wrong)
AHEAD = Count("prefilled ahead", "tokens", lambda counted: float(counted.ahead.tokens))
AHEAD_WASTED = Count("of it wasted", "points", _wasted)
TOOL_RUNS = Count("tool runs", "runs", lambda counted: float(counted.tool_runs))
