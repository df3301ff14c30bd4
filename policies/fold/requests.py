"""The part of the fold that follows requests: both streams joined by request id, and the counters of their agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..events import (
    AgentSeen,
    Event,
    FirstTokenSent,
    NamesDoubted,
    PrefixInserted,
    PrefixMatched,
    RequestArrived,
    RequestFinished,
    RequestRefused,
    SessionEnded,
    ToolCalled,
)
from ..run_state import AgentStats, Guesses, RequestView, RunState
from .door import note_refused
from .ghosts import forget_session, settle_ghosts
from .tree import learn_anchor, stats_of, touch_path
from .trends import moment

MAX_DOUBTED = 16
"""Tenants remembered whose names are not gone by."""

REQUESTS_KEPT = 500
SESSIONS_KEPT = 512
RECENT_TTFTS = 50
TOOLS_KEPT = 16


def _request(state: RunState, rid: str, agent: str, session: str) -> RequestView:
    """The request, begun on first sight; the oldest makes room."""
    request = state.requests.get(rid)
    if request is None:
        request = state.requests[rid] = RequestView(rid=rid, agent=agent, session=session)
        while len(state.requests) > REQUESTS_KEPT:
            _close(state, state.requests.pop(next(iter(state.requests))))
    return request


def _is_open(request: RequestView) -> bool:
    return request.arrived_ns > 0 and not request.finished_ns


def _close(state: RunState, request: RequestView) -> None:
    """The request no longer counts as running."""
    if _is_open(request):
        stats = stats_of(state, request.agent)
        stats.running = max(0, stats.running - 1)


def _arrived(state: RunState, event: RequestArrived) -> None:
    stats = stats_of(state, event.agent)
    stats.declared = stats.declared or event.declared
    stats.last_seen_ns = max(stats.last_seen_ns, event.t_ns)
    request = _request(state, event.rid, event.agent, event.session)
    if request.arrived_ns or request.finished_ns:
        state.totals.oddities += 1
        return
    request.arrived_ns = max(1, event.t_ns)
    request.agent, request.session = event.agent, event.session
    stats.running += 1


def _refused(state: RunState, event: RequestRefused) -> None:
    state.totals.refused += 1
    stats_of(state, event.agent).errors += 1
    request = _request(state, event.rid, event.agent, "")
    _close(state, request)
    request.finished_ns = max(1, event.t_ns)
    request.status = event.status
    request.finish = "error"
    note_refused(state, event)


def _first_token(state: RunState, event: FirstTokenSent) -> None:
    request = state.requests.get(event.rid)
    if request is None:
        state.totals.oddities += 1
    elif request.ttft_s is None:
        _take_ttft(state, request, event.ttft_s)


def _take_ttft(state: RunState, request: RequestView, ttft_s: float) -> None:
    request.ttft_s = ttft_s
    stats = stats_of(state, request.agent)
    stats.ttft_recent_s = [*stats.ttft_recent_s[1 - RECENT_TTFTS :], ttft_s]
    if not request.warm:
        when = moment(state, request.agent, state.t_ns)
        when.answers += 1
        when.ttft_s += ttft_s


def _finished(state: RunState, event: RequestFinished) -> None:
    request = _request(state, event.rid, event.agent, event.session)
    if request.finished_ns:
        state.totals.oddities += 1
        return
    _close(state, request)
    request.finished_ns = max(1, event.t_ns)
    request.status, request.finish, request.latency_s = event.status, event.finish, event.latency_s
    request.prompt_tokens = request.prompt_tokens or event.prompt_tokens or 0
    request.output_tokens = event.output_tokens or 0
    if event.status >= 400 or event.finish == "error":
        stats_of(state, event.agent).errors += 1
    elif request.ttft_s is None and (ttft_s := _ttft_without_stream(request, event)) is not None:
        _take_ttft(state, request, ttft_s)


def _ttft_without_stream(request: RequestView, event: RequestFinished) -> float | None:
    """What was told, else from arrival to the end of prefill, which is when the first token exists."""
    if event.ttft_s is not None:
        return event.ttft_s
    if request.arrived_ns and request.prefilled_ns > request.arrived_ns:
        return (request.prefilled_ns - request.arrived_ns) / 1e9
    return None


def _agent_seen(state: RunState, event: AgentSeen) -> None:
    stats = stats_of(state, event.agent)
    stats.last_seen_ns = max(stats.last_seen_ns, event.t_ns)  # or it would be the one not seen for longest
    stats.label = event.label
    stats.declared = event.declared
    stats.versions = event.versions
    stats.claimants = event.claimants


def _names_doubted(state: RunState, event: NamesDoubted) -> None:
    others = [tenant for tenant in state.doubted.pop(event.what, []) if tenant != event.tenant]
    if tenants := [*others, event.tenant] if event.doubted else others:
        state.doubted[event.what] = tenants[-MAX_DOUBTED:]


def _matched(state: RunState, event: PrefixMatched) -> None:
    request = _request(state, event.rid, event.agent, event.session)
    if request.matched_ns:
        state.totals.oddities += 1
        return
    request.matched_ns = max(1, event.t_ns)
    request.agent, request.session, request.warm = event.agent, event.session, event.warm
    request.prompt_tokens, request.cached_tokens = event.prompt_tokens, event.cached_tokens
    stats = stats_of(state, event.agent)
    stats.last_seen_ns = max(stats.last_seen_ns, event.t_ns)
    if event.anchor_tokens:
        learn_anchor(state, event.agent, event.anchor_tokens)
    if event.warm:
        _count_warm(state, stats, event)
    else:
        _count_dispatch(state, stats, event)
        _step(state, event.session, event.agent)
    settle_ghosts(state, event, request)
    touch_path(state, event.node, event.t_ns, hits=0 if event.warm else 1)


def _count_warm(state: RunState, stats: AgentStats, event: PrefixMatched) -> None:
    stats.warmups += 1
    state.totals.warmups += 1
    state.totals.warm_tokens += max(0, event.prompt_tokens - event.cached_tokens)


def _count_dispatch(state: RunState, stats: AgentStats, event: PrefixMatched) -> None:
    stats.dispatches += 1
    stats.prompt_tokens += event.prompt_tokens
    stats.cached_tokens += event.cached_tokens
    state.totals.requests += 1
    state.totals.prompt_tokens += event.prompt_tokens
    state.totals.cached_tokens += event.cached_tokens
    when = moment(state, event.agent, event.t_ns)
    when.requests += 1
    when.prompt_tokens += event.prompt_tokens
    when.cached_tokens += event.cached_tokens


def _step(state: RunState, session: str, agent: str) -> None:
    """One more step of a session: from the agent before it to this one."""
    if not session:
        return
    before = state.session_agent.pop(session, None)
    state.session_agent[session] = agent
    if before is not None:
        row = state.transitions.setdefault(before, {})
        if row:
            _guess(state, session, right=max(row, key=row.__getitem__) == agent)
        row[agent] = row.get(agent, 0) + 1
    while len(state.session_agent) > SESSIONS_KEPT:
        oldest = next(iter(state.session_agent))
        del state.session_agent[oldest]
        state.guesses.pop(oldest, None)


def _guess(state: RunState, session: str, *, right: bool) -> None:
    """Count one guess that the most frequent follower comes next, and whether it did."""
    guesses = state.guesses.setdefault(session, Guesses())
    guesses.made += 1
    guesses.right += right
    state.totals.guesses += 1
    state.totals.guesses_right += right


def _inserted(state: RunState, event: PrefixInserted) -> None:
    state.totals.inserted_tokens += max(0, event.new_tokens)
    touch_path(state, event.node, event.t_ns, hits=0)
    request = state.requests.get(event.rid)
    if request is not None and event.phase == "prompt":
        request.prefilled_ns = event.t_ns


def _session_ended(state: RunState, event: SessionEnded) -> None:
    state.session_agent.pop(event.session, None)
    state.guesses.pop(event.session, None)
    forget_session(state, event.session)


def _tool_called(state: RunState, event: ToolCalled) -> None:
    calls = stats_of(state, event.agent).tools
    for tool in event.tools:
        if tool in calls or len(calls) < TOOLS_KEPT:
            calls[tool] = calls.get(tool, 0) + 1


HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    RequestArrived: _arrived,
    RequestRefused: _refused,
    FirstTokenSent: _first_token,
    RequestFinished: _finished,
    AgentSeen: _agent_seen,
    NamesDoubted: _names_doubted,
    PrefixMatched: _matched,
    PrefixInserted: _inserted,
    SessionEnded: _session_ended,
    ToolCalled: _tool_called,
}
