"""The part of the fold that follows the engine as a whole: up or away, its load, its policies, actions on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..events import (
    HOST,
    NO_NODE,
    ActionTaken,
    EngineLoadSampled,
    EngineLost,
    EngineStarted,
    Event,
    EventsDropped,
    PolicyFailed,
    PolicySwitched,
    TunableChanged,
)
from ..operator import SPENT, Operator
from ..run_state import AgentStats, RunState
from ..tree.sight import NAME as THIS_LAYER
from ..tree.sight import blinds
from .tree import clear_tree, see_again, stats_of

LONGEST_S = 1e6
HALF_LIVES = -math.log2(SPENT)
"""After so many a retain is over."""


def _started(state: RunState, event: EngineStarted) -> None:
    clear_tree(state)
    see_again(state)
    state.engine_up, state.engine_detail = True, ""
    state.model, state.device = event.model, event.device
    state.capacity_tokens, state.page_size = event.capacity_tokens, event.page_size
    state.host_capacity_tokens = max(0, event.host_capacity_tokens)
    state.replicas = event.replicas
    state.running = state.waiting = state.used_tokens = 0
    state.policies[event.policy] = True
    state.totals.engine_starts += 1
    for stats in state.agents.values():
        # A fresh engine hosts a fresh operator; what the daemon tells it again arrives as actions.
        _end_retain(stats)


def _lost(state: RunState, event: EngineLost) -> None:
    clear_tree(state)
    state.engine_up, state.engine_detail = False, event.reason
    state.running = state.waiting = state.used_tokens = 0


def _load(state: RunState, event: EngineLoadSampled) -> None:
    state.running, state.waiting = event.running, event.waiting
    state.used_tokens = event.used_tokens
    state.capacity_tokens = event.capacity_tokens
    for stats in state.agents.values():
        if stats.boost and stats.boost_until_ns <= event.t_ns:
            stats.boost, stats.boost_until_ns = 0.0, 0
        if stats.retain_tokens and stats.retain_until_ns <= event.t_ns:
            _end_retain(stats)


def _dropped(state: RunState, event: EventsDropped) -> None:
    state.totals.dropped_events += max(0, event.count)


def _switched(state: RunState, event: PolicySwitched) -> None:
    state.policies[event.policy] = event.enabled
    if event.by != HOST:
        state.ordered[event.policy] = event.enabled


def _failed(state: RunState, event: PolicyFailed) -> None:
    if blinds(event):
        state.blind, state.blind_ns = f"{event.call}: {event.error}", event.t_ns
    elif event.policy != THIS_LAYER:
        state.policies[event.policy] = False


def _tuned(state: RunState, event: TunableChanged) -> None:
    state.tunables.setdefault(event.policy, {})[event.name] = event.value


def _acted(state: RunState, event: ActionTaken) -> None:
    if not event.ok:
        return
    if event.node != NO_NODE:
        _act_on_node(state, event)
    elif event.agent:
        _act_on_agent(state, event)


def _act_on_node(state: RunState, event: ActionTaken) -> None:
    view = state.nodes.get(event.node)
    if view is not None and event.kind in ("pin", "unpin"):
        view.pinned = event.kind == "pin"


def _act_on_agent(state: RunState, event: ActionTaken) -> None:
    stats = stats_of(state, event.agent)
    match event.kind:
        case "pin" | "unpin":
            stats.pinned = event.kind == "pin"
        case "quarantine" | "release":
            stats.quarantined = event.kind == "quarantine"
        case "boost":
            stats.boost = event.amount
            stats.boost_until_ns = _after(state, event) if event.amount else 0
        case "retain" if event.amount >= 0:
            stats.retain_tokens = event.amount or _operator_says(state, "retain_tokens")
            stats.retain_until_ns = _after(state, event, HALF_LIVES)
        case "retain":
            _end_retain(stats)
        case _:
            pass


def _end_retain(stats: AgentStats) -> None:
    stats.retain_tokens, stats.retain_until_ns = 0.0, 0


def _after(state: RunState, event: ActionTaken, times: float = 1.0) -> int:
    """The moment `times` the life that the action names has passed, or the operator's half-life if it names none."""
    life_s = event.ttl_s if event.ttl_s > 0 else _operator_says(state, "half_life_s")
    return event.t_ns + int(min(life_s * times, LONGEST_S) * 1e9)


def _operator_says(state: RunState, name: str) -> float:
    """A tunable of the operator as it is in this run."""
    default = next(tunable.default for tunable in Operator.declares if tunable.name == name)
    return state.tunables.get(Operator.name, {}).get(name, default)


HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    EngineStarted: _started,
    EngineLost: _lost,
    EngineLoadSampled: _load,
    EventsDropped: _dropped,
    PolicySwitched: _switched,
    PolicyFailed: _failed,
    TunableChanged: _tuned,
    ActionTaken: _acted,
}
