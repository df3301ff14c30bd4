"""Who asks, as far as it is known."""

from __future__ import annotations

import msgspec

from ..events import AgentSeen, NamesDoubted
from .declared import DEFAULT_TENANT


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `called`: the full name that the caller gives its agent where that is not gone by, else ''; orders and
    rules hold for that too, so that no doubt lifts them. `fingerprint`: hash of system messages and tools, '' if there
    are none; `label`: a few words a human recognises the agent by; `seen`: what is new about the agent, if anything;
    `doubts`: what is about whether its tenant's names hold (their `t_ns` is `now_s`)."""

    agent: str
    session: str
    tenant: str = DEFAULT_TENANT
    declared: bool = False
    called: str = ""
    fingerprint: str = ""
    label: str = ""
    seen: AgentSeen | None = None
    doubts: tuple[NamesDoubted, ...] = ()
