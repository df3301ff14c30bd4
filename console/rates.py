"""Rates of the last seconds, derived from the folded state alone, so that a replay shows what the live console did.

A run keeps its last requests only. Where they do not reach back far enough its moments tell, some seconds coarser.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from radixdeck.policies.fold.trends import FINE_S
from radixdeck.policies.residency import Moment, RequestView, RunState

from .trends import hit_of, lately, resampled, total

WINDOW_S = 10.0
LIVE_SESSION_S = 60.0
SURVIVAL_STEPS = 3


class Rates(NamedTuple):
    """Over the last WINDOW_S, from moments up to FINE_S more. `hit_rate`: cached / prompt tokens, None without a
    request in the window; `ttft_p50_s`: of the requests that are kept of it."""

    hit_rate: float | None
    requests_per_s: float
    ttft_p50_s: float | None


def rates(run: RunState, now_ns: int) -> Rates:
    """Rates of the window that ends at `now_ns` on the event clock."""
    since_ns = now_ns - int(WINDOW_S * 1e9)
    recent = list(_matched_since(run, since_ns, now_ns))
    ttft_s = median([v.ttft_s for v in recent if v.ttft_s is not None])
    if moments := _more_than_kept(run, since_ns, now_ns):
        whole, first_s = total(moments), since_ns // 1_000_000_000 // FINE_S * FINE_S
        return Rates(hit_of(whole), whole.requests / (now_ns / 1e9 - first_s), ttft_s)
    prompt = sum(view.prompt_tokens for view in recent)
    hit = sum(view.cached_tokens for view in recent) / prompt if prompt else None
    return Rates(hit, len(recent) / WINDOW_S, ttft_s)


def hit_series(run: RunState, now_ns: int, buckets: int, bucket_s: float) -> list[float | None]:
    """Hit rate per bucket of time up to `now_ns`, oldest first; None where nothing was asked."""
    first_ns = now_ns - int(buckets * bucket_s * 1e9)
    if moments := _more_than_kept(run, first_ns, now_ns):
        return [hit_of(one) for one in resampled(moments, first_ns / 1e9, now_ns / 1e9, buckets)]
    cached, prompt = [0] * buckets, [0] * buckets
    for view in _matched_since(run, first_ns, now_ns):
        place = min(buckets - 1, int((view.matched_ns - first_ns) / 1e9 / bucket_s))
        cached[place] += view.cached_tokens
        prompt[place] += view.prompt_tokens
    return [c / p if p else None for c, p in zip(cached, prompt, strict=True)]


def run_hit_rate(run: RunState) -> float | None:
    """Cached share of all prompt tokens since the run began."""
    return run.totals.cached_tokens / run.totals.prompt_tokens if run.totals.prompt_tokens else None


def survival(run: RunState, now_ns: int) -> dict[str, float]:
    """Probability per agent of a dispatch within the next SURVIVAL_STEPS steps of any live session.

    First-order transitions as folded; a session is live while its last request is younger than LIVE_SESSION_S. This is
    a plain reading of the past, the same under every policy; what the policy in force believes is on its own screen.
    """
    chains, live = _Chains(run), Counter(_live_agents(run, now_ns))
    return {agent: _any_comes(chains.within(agent, SURVIVAL_STEPS), live) for agent in run.agents}


def survival_of(run: RunState, agent: str, now_ns: int) -> float:
    """The same of one agent, 0 for one that is not known."""
    if agent not in run.agents:
        return 0.0
    return _any_comes(_Chains(run).within(agent, SURVIVAL_STEPS), Counter(_live_agents(run, now_ns)))


def median(values: list[float]) -> float | None:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


def _matched_since(run: RunState, since_ns: int, now_ns: int) -> Iterator[RequestView]:
    return (v for v in run.requests.values() if since_ns <= v.matched_ns <= now_ns and v.matched_ns and not v.warm)


def _more_than_kept(run: RunState, since_ns: int, now_ns: int) -> list[Moment]:
    """The moments that reach past `since_ns`, where they counted more than the requests that are kept; else none."""
    moments = lately(run, since_ns / 1e9, now_ns / 1e9)
    first_s = min((one.t_s for one in moments), default=0)
    kept = sum(1 for _ in _matched_since(run, first_s * 1_000_000_000, now_ns))
    return moments if sum(one.requests for one in moments) > kept else []


def _live_agents(run: RunState, now_ns: int) -> list[str]:
    """The present agent of every live session."""
    last_ns: dict[str, int] = {}
    for view in run.requests.values():
        last_ns[view.session] = max(last_ns.get(view.session, 0), view.arrived_ns, view.matched_ns, view.finished_ns)
    fresh_ns = now_ns - int(LIVE_SESSION_S * 1e9)
    return [agent for session, agent in run.session_agent.items() if last_ns.get(session, 0) >= fresh_ns]


def _any_comes(chances: dict[str, float], live: Counter[str]) -> float:
    """Probability that one of the live sessions comes, by where each of them is."""
    absent = 1.0
    for current, sessions in live.items():
        if current in chances:
            absent *= (1.0 - chances[current]) ** sessions
    return 1.0 - absent


class _Chains:
    """Transitions as folded: an agent's followers with their shares, and whom it followed."""

    def __init__(self, run: RunState) -> None:
        self._rows = run.transitions
        self._before: dict[str, list[str]] = {}
        for agent, row in run.transitions.items():
            for follower in row:
                self._before.setdefault(follower, []).append(agent)

    def within(self, wanted: str, steps: int) -> dict[str, float]:
        """Probability that a chain visits `wanted` within `steps` steps, by where it is now; only those who can."""
        chances: dict[str, float] = {}
        for _ in range(steps):
            before = {agent for after in (wanted, *chances) for agent in self._before.get(after, ())}
            chances = {agent: self._next(agent, wanted, chances) for agent in before}
        return chances

    def _next(self, agent: str, wanted: str, chances: dict[str, float]) -> float:
        row = self._rows[agent]
        total = sum(row.values())
        if not total:
            return 0.0
        return min(1.0, sum(n / total * (1.0 if to == wanted else chances.get(to, 0.0)) for to, n in row.items()))
