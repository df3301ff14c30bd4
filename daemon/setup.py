"""How the next engine process starts: what is switched on, and with which tunables, as changed since the start."""

from __future__ import annotations

import msgspec

from radixdeck.policies.host import PolicyHost

from .engine.protocol import EngineSetup, Order, SwitchPolicy, Tune


def after(setup: EngineSetup, order: Order, host: PolicyHost) -> EngineSetup:
    """`setup` as it is once `order` took effect. Orders that change neither policies nor tunables change nothing."""
    match order:
        case SwitchPolicy():
            return msgspec.structs.replace(setup, policies=_switched(setup.policies, order, host))
        case Tune():
            tunables = {policy: dict(values) for policy, values in setup.tunables.items()}
            tunables.setdefault(order.policy, {})[order.name] = order.value
            return msgspec.structs.replace(setup, tunables=tunables)
        case _:
            return setup


def _switched(enabled: list[str], order: SwitchPolicy, host: PolicyHost) -> list[str]:
    slots = {facts.name: facts.slot for facts in host.info()}
    slot = slots.get(order.policy, "")
    kept = [
        name
        for name in enabled
        if name != order.policy and not (order.enabled and slot and slots.get(name, "") == slot)
    ]
    return [*kept, order.policy] if order.enabled else kept
