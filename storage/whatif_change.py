"""What is otherwise in a what-if from a moment on, and what went where it was otherwise."""

from __future__ import annotations

from typing import NamedTuple

from radixdeck.policies.events import Role
from radixdeck.policies.host import OPERATOR, PolicyError, PolicyHost
from radixdeck.policies.primitives import BasePolicy
from radixdeck.policies.registry import create, names
from radixdeck.policies.seat import EVICTION

from .errors import WhatIfError
from .whatif_sizes import Size


class Change(NamedTuple):
    """What is otherwise from the first event after `after_seq` on: policy ('': the same), tunables as (policy, name,
    value), and the size of the cache: so many tokens, or, if None, `times` what the engine had (1: the same)."""

    after_seq: int
    policy: str = ""
    tunables: tuple[tuple[str, str, float], ...] = ()
    kv_tokens: int | None = None
    times: float = 1.0

    @property
    def size(self) -> Size:
        return Size(self.kv_tokens, self.times)


class Gone(NamedTuple):
    """A node that was evicted for want of room, at event `seq`; what it held."""

    seq: int
    start: int
    tokens: int
    role: Role
    agents: tuple[str, ...]
    session: str

    @property
    def held(self) -> tuple[object, ...]:
        return self[1:]


def check(change: Change, host: PolicyHost) -> None:
    """Raises PolicyError, TunableError or WhatIfError."""
    if change.policy:
        check_policy(change.policy)
        host.check_switch(change.policy, True)
    for policy, name, value in change.tunables:
        host.check_tune(policy, name, value)
    change.size.check()


def check_policy(name: str) -> None:
    """Only what orders evictions shows in a what-if: another one's row would be that of LRU. Raises PolicyError for an
    unknown one, WhatIfError for one that has no part in it."""
    if not _orders(name):
        able = ", ".join(known for known in names() if _shows(known))
        raise WhatIfError(
            f"{name} decides at the door or beside it, not in the cache: what-if cannot show it; "
            f"policies it can: {able}"
        )


def _orders(name: str) -> bool:
    """Raises PolicyError. What the operator did to the cache is part of every what-if, and no choice."""
    policy = create(name)
    scores = getattr(type(policy), "score", None) is not BasePolicy.score
    return name != OPERATOR and (policy.slot == EVICTION or scores)


def _shows(name: str) -> bool:
    try:
        return _orders(name)
    except PolicyError:
        return False
