"""The run of the scenario and what operators did after it, as the console lists it."""

from __future__ import annotations

from typing import Any

from scenario import run_events
from staging import policies

from radixdeck.console.operator_log import Done, OperatorLog, Target, newest_of
from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, fold

EVENTS = run_events()
AFTER_NS = EVENTS[-1].t_ns


def act(kind: str, agent: str = "coder", **told: Any) -> ev.ActionTaken:
    return ev.ActionTaken(t_ns=AFTER_NS, id=kind, kind=kind, agent=agent, by="ann", **told)  # type: ignore[arg-type]


def heard(*events: ev.AnyEvent) -> tuple[OperatorLog, RunState]:
    """The run of the scenario without its own orders, then these."""
    log, run = OperatorLog(), RunState()
    for seq, event in enumerate([*EVENTS, *events]):
        if seq >= len(EVENTS):
            log.add(seq, event, run, policies())
        fold(run, event)
    return log, run


def newest(log: OperatorLog, run: RunState) -> tuple[Done, dict[Target, Done]]:
    listed = log.listed(run)
    return listed[0], newest_of(listed)
