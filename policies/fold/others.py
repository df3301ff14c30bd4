"""The part of the fold that keeps the agents bounded: of too many, those that hold nothing and were seen longest ago
are added up in one row. A prompt written anew for each task makes a new agent of each session.
"""

from __future__ import annotations

from typing import get_args

from ..events import Cause
from ..run_state import AgentStats, RunState
from .tree import stats_of

AGENTS_KEPT = 2_000
AGENTS_LEFT = 1_900
"""How many are left once there were too many, so that it is not done for each further agent."""
OTHERS = "others"
_CAUSES = frozenset(get_args(Cause))
_COUNTERS = (
    "dispatches", "prompt_tokens", "cached_tokens", "evicted_tokens", "evictions", "evictions_that_hurt", "hurt_tokens",
    "warmups", "errors", "anchor_hurt",
)  # fmt: skip


def bound_agents(state: RunState) -> None:
    """Add up agents in the row OTHERS until AGENTS_LEFT are left, or only those that hold something. Nothing that is
    counted gets lost."""
    idle = sorted((stats for stats in state.agents.values() if _holds_nothing(stats)), key=_last_seen_ns)
    others = stats_of(state, OTHERS)
    for stats in idle[: len(state.agents) - AGENTS_LEFT]:
        _add(others, state.agents.pop(stats.agent))
        state.trends.pop(stats.agent, None)
    for stats in state.agents.values():
        stats.evicted_by = _renamed(state, stats.evicted_by)
    _bound_transitions(state)


def _last_seen_ns(stats: AgentStats) -> int:
    return stats.last_seen_ns


def _holds_nothing(stats: AgentStats) -> bool:
    """No tokens, no running request, no order in force; and a name, for the row without one stands for itself."""
    orders = stats.pinned or stats.quarantined or stats.boost or stats.retain_tokens
    return not (stats.resident_tokens or stats.running or orders) and stats.agent not in ("", OTHERS)


def _add(others: AgentStats, stats: AgentStats) -> None:
    for name in _COUNTERS:
        setattr(others, name, getattr(others, name) + getattr(stats, name))
    for agent, number in stats.evicted_by.items():
        others.evicted_by[agent] = others.evicted_by.get(agent, 0) + number
    others.last_seen_ns = max(others.last_seen_ns, stats.last_seen_ns)


def _renamed(state: RunState, counts: dict[str, int]) -> dict[str, int]:
    """The same numbers, with those of agents that have no row of their own added up."""
    renamed: dict[str, int] = {}
    for agent, number in counts.items():
        name = agent if agent in state.agents or agent in _CAUSES else OTHERS
        renamed[name] = renamed.get(name, 0) + number
    return renamed


def _bound_transitions(state: RunState) -> None:
    rows: dict[str, dict[str, int]] = {}
    for agent, row in state.transitions.items():
        merged = rows.setdefault(agent if agent in state.agents else OTHERS, {})
        for following, number in _renamed(state, row).items():
            merged[following] = merged.get(following, 0) + number
    state.transitions = rows
    for session, agent in state.session_agent.items():
        state.session_agent[session] = agent if agent in state.agents else OTHERS
