"""Hit rate and time to first token over time, per agent or for all, and who has got worse. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from radixdeck.policies.fold.trends import FINE_S, add
from radixdeck.policies.residency import Moment, RunState

from .theme import NO_AGENTS
from .words import ratio, seconds

RECENT_S = 30
WORSE_TIMES = 1.3
WORSE_UNBLAMED_TIMES = 2.0
"""Without an eviction that hurt, waiting varies by itself."""
WORSE_S = 0.02
WORSE_POINTS = 0.15
LEAST_REQUESTS = 3
USUAL_SHARE = 0.25
"""What is usual is the better quarter of the moments before: an incident that has gone on for long is not usual."""


class Trouble(NamedTuple):
    """An agent whose recent requests find less in the cache, or wait longer, than they usually did. `seen`: whether an
    eviction that hurt it now would be told."""

    agent: str
    ttft_s: float
    usual_ttft_s: float
    hit: float
    usual_hit: float
    hurt: int
    seen: bool = True

    @property
    def worse(self) -> float:
        """How many times as long its first token takes; by the tokens computed where nobody waited measurably."""
        return self.ttft_s / self.usual_ttft_s if self.usual_ttft_s else 1.0 + self.usual_hit - self.hit


def merged(run: RunState, agents: Iterable[str]) -> list[Moment]:
    """The moments of several agents in one list, oldest first."""
    found = [moment for agent in agents for moment in run.trends.get(agent, ())]
    return sorted(found, key=lambda moment: moment.t_s)


def lately(run: RunState, since_s: float, now_s: float) -> list[Moment]:
    """The moments of all agents that reach past `since_s` and have begun by `now_s`, UTC. Cost: what is returned."""
    found: list[Moment] = []
    for trend in run.trends.values():
        reached = takewhile(lambda moment: moment.t_s + moment.span_s > since_s, reversed(trend))
        found += [moment for moment in reached if moment.t_s <= now_s]
    return found


def resampled(moments: Iterable[Moment], first_s: float, last_s: float, places: int) -> list[Moment]:
    """The moments added up in `places` equal stretches; one that is wider than a stretch counts in each it covers as if
    all of it had happened there, so that sums keep their proportions."""
    width_s = max(1e-9, (last_s - first_s) / max(1, places))
    sums = [Moment(int(first_s + n * width_s), max(1, round(width_s))) for n in range(places)]
    for moment in moments:
        place = int((moment.t_s - first_s) / width_s)
        end = int((moment.t_s + moment.span_s - 1e-6 - first_s) / width_s)
        for n in range(max(0, place), min(places, max(place, end) + 1)):
            add(sums[n], moment)
    return sums


def hit_of(moment: Moment) -> float | None:
    return moment.cached_tokens / moment.prompt_tokens if moment.prompt_tokens else None


def ttft_of(moment: Moment) -> float | None:
    return moment.ttft_s / moment.answers if moment.answers else None


def total(moments: Iterable[Moment]) -> Moment:
    """All of them in one."""
    whole = Moment(0, 0)
    for moment in moments:
        add(whole, moment)
    return whole


def trouble(run: RunState, now_ns: int) -> list[Trouble]:
    """Agents that are worse off than usual, the one that waits longest for what it usually had first."""
    seen = not run.blind
    found = (
        _trouble(agent, moments, now_ns, seen=seen) for agent, moments in run.trends.items() if agent not in NO_AGENTS
    )
    return sorted((one for one in found if one is not None), key=lambda one: (-one.worse, one.agent))


def _trouble(agent: str, moments: Sequence[Moment], now_ns: int, *, seen: bool) -> Trouble | None:
    since_s = now_ns // 1_000_000_000 - RECENT_S
    recent = total(moment for moment in moments if moment.t_s + moment.span_s > since_s)
    before = [moment for moment in moments if moment.t_s + moment.span_s <= since_s]
    ttft_s, hit = ttft_of(recent), hit_of(recent)
    usual_ttft_s = _quarter([value for one in before if (value := ttft_of(one)) is not None])
    usual_hit = -_quarter([-value for one in before if (value := hit_of(one)) is not None])
    if recent.requests < LEAST_REQUESTS or hit is None or not before:
        return None
    times = WORSE_TIMES if recent.hurt else WORSE_UNBLAMED_TIMES
    waits = ttft_s is not None and usual_ttft_s > 0 and ttft_s > max(usual_ttft_s * times, usual_ttft_s + WORSE_S)
    if not waits and hit >= usual_hit - WORSE_POINTS:
        return None
    return Trouble(agent, ttft_s or 0.0, usual_ttft_s, hit, usual_hit, recent.hurt, seen)


def _quarter(values: list[float]) -> float:
    """The value that a quarter of these are below; 0 of none."""
    ordered = sorted(values)
    return ordered[int(len(ordered) * USUAL_SHARE)] if ordered else 0.0


def trouble_words(one: Trouble, blame: str = "") -> str:
    """'planner waits 410 ms for its first token, usually 60 ms; 8 % cached, usually 92 %; mostly because of coder'."""
    waits = f"waits {seconds(one.ttft_s)} for its first token, usually {seconds(one.usual_ttft_s)}; "
    found = f"{ratio(one.hit, 1)} cached, usually {ratio(one.usual_hit, 1)}"
    unblamed = "; no eviction hurt it" if one.seen else "; whether evictions hurt it is not seen"
    because = f"; mostly because of {blame}" if blame and one.hurt else "" if one.hurt else unblamed
    return f"{one.agent} {waits if one.ttft_s and one.usual_ttft_s else ''}{found}{because}"


def recent_blame(run: RunState, agent: str, now_ns: int) -> str:
    """Whose requests pushed out most of what this agent computed again lately, '' if nothing is known. What is over is
    no reason of a trouble that is there now."""
    since_ns = now_ns - (RECENT_S + FINE_S) * 1_000_000_000
    by: dict[str, int] = {}
    for hurt in run.hurts:
        if hurt.agent == agent and hurt.t_ns > since_ns:
            name = hurt.by_agent or hurt.cause
            by[name] = by.get(name, 0) + hurt.tokens
    return max(by, key=lambda name: (by[name], name)) if by else ""
