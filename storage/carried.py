"""What a file that begins within a run knows of the time before: its first keyframe, as events that a model can be fed.

A run that outgrows its file goes on in another one, where no engine starts for hours.
"""

from __future__ import annotations

from radixdeck.policies.events import EngineStarted, TunableChanged
from radixdeck.policies.host import FALLBACK, PolicyError
from radixdeck.policies.registry import create
from radixdeck.policies.residency import RunState
from radixdeck.policies.seat import EVICTION


def start(state: RunState, policy: str = "") -> EngineStarted:
    """The engine's start, made up of what is known of it later. `policy`: the eviction policy, '' if unknown."""
    return EngineStarted(
        t_ns=state.t_ns,
        pid=0,
        model=state.model,
        capacity_tokens=state.capacity_tokens,
        page_size=state.page_size,
        policy=policy,
        device=state.device,
        host_capacity_tokens=state.host_capacity_tokens,
        replicas=state.replicas,
    )


def tuned(state: RunState) -> list[TunableChanged]:
    """The tunables that were changed so far, as orders."""
    return [
        TunableChanged(t_ns=state.t_ns, policy=policy, name=name, value=value, by="the file before")
        for policy, values in state.tunables.items()
        for name, value in values.items()
    ]


def eviction_policy(state: RunState) -> str:
    """The one that holds the slot. An engine that is started again after its policy failed leaves the fallback marked
    as on too, so the fallback counts only where no other one is."""
    on = [name for name, enabled in state.policies.items() if enabled and name != FALLBACK[EVICTION]]
    return next((name for name in on if _orders(name)), FALLBACK[EVICTION])


def _orders(name: str) -> bool:
    """A policy that is not installed here does not say what it is for."""
    try:
        return create(name).slot == EVICTION
    except PolicyError:
        return False
