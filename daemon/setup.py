"""How the next engine process starts: what is switched on, and with which tunables, as changed since the start."""

from __future__ import annotations

import msgspec

from radixdeck.policies.events import HOST, EngineEvent, PolicySwitched, TunableChanged
from radixdeck.policies.host import PolicyHost

from .engine.protocol import EngineSetup


def after(setup: EngineSetup, event: EngineEvent, host: PolicyHost) -> EngineSetup:
    """`setup` as it is once `event` happened; most events change nothing."""
    match event:
        case PolicySwitched() if event.by != HOST:  # what the host does is not meant for the next start
            return msgspec.structs.replace(setup, policies=_switched(setup.policies, event, host))
        case TunableChanged():
            tunables = {policy: dict(values) for policy, values in setup.tunables.items()}
            tunables.setdefault(event.policy, {})[event.name] = event.value
            return msgspec.structs.replace(setup, tunables=tunables)
        case _:
            return setup


def _switched(enabled: list[str], event: PolicySwitched, host: PolicyHost) -> list[str]:
    slots = {facts.name: facts.slot for facts in host.info()}
    slot = slots.get(event.policy, "")
    kept = [
        name
        for name in enabled
        if name != event.policy and not (event.enabled and slot and slots.get(name, "") == slot)
    ]
    return [*kept, event.policy] if event.enabled else kept
