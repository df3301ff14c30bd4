"""The state after some events, by the fold that the daemon, the console and recordings have in common."""

from __future__ import annotations

from collections.abc import Iterable

from radixdeck.policies.events import AnyEvent
from radixdeck.policies.residency import RunState, fold


def folded(events: Iterable[AnyEvent], state: RunState | None = None) -> RunState:
    """`state`: to go on from."""
    state = state or RunState()
    for event in events:
        fold(state, event)
    return state


def after(*events: AnyEvent, state: RunState | None = None) -> RunState:
    """The same, of events that a test tells one by one."""
    return folded(events, state)
