"""The part of the fold that keeps an hour of every agent: moments of seconds lately, of a minute before that."""

from __future__ import annotations

from collections.abc import Iterable

from ..run_state import Moment, RunState

FINE_S = 5
COARSE_S = 60
FINE_KEPT = 60
COARSE_KEPT = 72
MOST = FINE_KEPT + COARSE_KEPT + 12
"""So many moments are let gather before the older ones are added up by the minute."""


def moment(state: RunState, agent: str, t_ns: int) -> Moment:
    """The moment of an agent that `t_ns` falls into, to count in. Time that runs backwards is the last moment."""
    trend = state.trends.setdefault(agent, [])
    t_s = t_ns // 1_000_000_000
    if not trend or t_s >= trend[-1].t_s + trend[-1].span_s:
        trend.append(Moment(t_s - t_s % FINE_S, FINE_S))
        if len(trend) > MOST:
            trend[:-FINE_KEPT] = _by_the_minute(trend[:-FINE_KEPT])[-COARSE_KEPT:]
    return trend[-1]


def _by_the_minute(moments: Iterable[Moment]) -> list[Moment]:
    merged: list[Moment] = []
    for one in moments:
        minute_s = one.t_s - one.t_s % COARSE_S
        if not merged or merged[-1].t_s != minute_s:
            merged.append(Moment(minute_s, COARSE_S))
        add(merged[-1], one)
    return merged


def add(total: Moment, one: Moment) -> None:
    """Add what `one` counted to `total`, whatever stretch of time either stands for."""
    total.requests += one.requests
    total.prompt_tokens += one.prompt_tokens
    total.cached_tokens += one.cached_tokens
    total.answers += one.answers
    total.ttft_s += one.ttft_s
    total.hurt += one.hurt
