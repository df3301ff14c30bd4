"""The part of the fold that follows the door: what each policy held, refused and let in, and the last few of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..events import (
    Event,
    ReplicaChecked,
    RequestAdmitted,
    RequestHedged,
    RequestHeld,
    RequestRefused,
    ToolMemoized,
)
from ..run_state import Ruling, Rulings, RunState

KEPT = 20


def _held(state: RunState, event: RequestHeld) -> None:
    rulings = _note(
        state, event.by, Ruling(t_ns=event.t_ns, agent=event.agent, what="held", why=event.why, rid=event.rid)
    )
    rulings.held += 1


def _let_in(state: RunState, event: RequestAdmitted) -> None:
    ruling = Ruling(
        t_ns=event.t_ns, agent=event.agent, what="let in", why=event.why, rid=event.rid, held_s=event.held_s
    )  # fmt: skip
    rulings = _note(state, event.by, ruling)
    rulings.let_in += 1
    rulings.held_s += event.held_s


def note_refused(state: RunState, event: RequestRefused) -> None:
    """A policy refused a request, if it was one."""
    if event.by:
        ruling = Ruling(
            t_ns=event.t_ns, agent=event.agent, what="refused", why=event.reason, rid=event.rid, status=event.status
        )  # fmt: skip
        _note(state, event.by, ruling).refused += 1


UNTOLD = frozenset({"asked", "stored", "confirmed", "refused", "early_checked"})
"""What is done about tool calls all the time: counted only."""


def _tool(state: RunState, event: ToolMemoized) -> None:
    rulings = state.rulings.setdefault(event.by, Rulings())
    rulings.tools[event.what] = rulings.tools.get(event.what, 0) + 1
    rulings.saved_s += event.saved_s
    if event.what not in UNTOLD:
        _note(state, event.by, Ruling(t_ns=event.t_ns, agent=event.agent, what=event.what, why=_about(event)))


def _about(event: ToolMemoized) -> str:
    return f"{event.tool}: {event.why}" if event.why else event.tool


HEDGES = {
    "won": "sent to a second engine, which answered first",
    "lost": "sent to a second engine in vain",
    "failed": "sent to a second engine, which failed",
    "left": "sent to a second engine, and its caller went away",
    "kept": "late, not sent to a second engine",
}


def _hedged(state: RunState, event: RequestHedged) -> None:
    rulings = state.rulings.setdefault(event.by, Rulings())
    rulings.hedges[event.what] = rulings.hedges.get(event.what, 0) + 1
    rulings.saved_s += event.saved_s
    rulings.wasted_tokens += event.wasted_tokens
    what = HEDGES.get(event.what, event.what)
    _note(state, event.by, Ruling(t_ns=event.t_ns, agent=event.agent, what=what, why=event.why, rid=event.rid))


def _replica(state: RunState, event: ReplicaChecked) -> None:
    what = f"{event.url} {'can' if event.ok else 'cannot'} be used" if event.url else "no second engine"
    _note(state, event.by, Ruling(t_ns=event.t_ns, agent="", what=what, why=event.detail))


def _note(state: RunState, policy: str, ruling: Ruling) -> Rulings:
    rulings = state.rulings.setdefault(policy, Rulings())
    rulings.recent = [*rulings.recent[1 - KEPT :], ruling]
    return rulings


HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    RequestHeld: _held,
    RequestAdmitted: _let_in,
    RequestHedged: _hedged,
    ReplicaChecked: _replica,
    ToolMemoized: _tool,
}
