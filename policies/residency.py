"""The fold: events in, the state of one run out. The daemon, the live console and a replay all run this same code, so
they show the same thing.

A fold never raises on an event it did not expect (a gap, an old recording): it does what it can and counts `oddities`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .events import NO_NODE, AnyEvent, Event
from .fold import door, engine, others, requests, tree
from .run_state import (
    AgentStats,
    Ghost,
    Guesses,
    Hurt,
    Moment,
    NodeView,
    RequestView,
    Ruling,
    Rulings,
    RunState,
    Totals,
)

__all__ = [
    "NO_NODE",
    "AgentStats",
    "Ghost",
    "Guesses",
    "Hurt",
    "Moment",
    "NodeView",
    "RequestView",
    "Ruling",
    "Rulings",
    "RunState",
    "Totals",
    "fold",
    "resident_tokens",
]

_HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    **tree.HANDLERS,
    **requests.HANDLERS,
    **engine.HANDLERS,
    **door.HANDLERS,
}


def fold(state: RunState, event: AnyEvent) -> None:
    """Apply one event to the state in place. Cost: O(depth of the touched path); never raises on odd input."""
    state.t_ns = max(state.t_ns, event.t_ns)
    handle = _HANDLERS.get(type(event))
    if handle is None:
        return
    agents = len(state.agents)
    handle(state, event)
    if len(state.agents) > max(agents, others.AGENTS_KEPT):
        others.bound_agents(state)


def resident_tokens(state: RunState) -> int:
    """Tokens resident in the tree by the fold's account."""
    return sum(view.tokens for view in state.nodes.values())
