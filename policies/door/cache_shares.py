"""Who holds more of the cache than its share, and what therefore goes first where room is needed.

An agent is over its share if what it uses, alone or with others, is more than that of the cache; so is a tenant, whose
agents' tokens count once however many of them share these. Tenants are told by the names of their agents
(`<tenant>/<agent>`); agents of the default tenant stand for themselves, and all who do not say who asks for one.

While somebody is over, what others have who are at work is kept back. First goes, in the order that it would go in
anyway, what belongs to nobody else: that of agents over their share, of agents that are not at work, and of sessions
that are over. Next goes what one tenant over its share has, last all the rest. Where nobody else is at work there is
nobody to keep anything for, and nothing is said.

At work is who was asked within the last TURNOVERS of the cache, in a session that is not over. LRU keeps things for
about one turnover, so less than that would keep nothing back.

Names are what callers say. An agent that goes by several, or a caller by several tenants, has a share for each; only
the API keys of tenants prove anything. What more than eight agents share counts as everybody's.
"""

from __future__ import annotations

from typing import NamedTuple

from ..bounded import Bounded
from ..events import EngineEvent, EngineLoadSampled, EngineStarted, PrefixMatched, SessionEnded
from ..primitives import Subject
from ..resident import NOBODY, ResidentTokens, tenant_of
from ..tree.subjects import EVERYBODY

TURNOVERS = 4
MAX_SESSIONS = 1_024
MAX_AGENTS_OF_SESSION = 64
GOES_FIRST = -1e5
"""Below anything that a policy says of a node, once for a tenant and twice for an agent. The operator's boosts and pins
can outweigh it."""


class Standing(NamedTuple):
    """`over`, `tenants`: who is over its share; `kept`: agents for whom something is kept back."""

    over: frozenset[str]
    tenants: frozenset[str]
    kept: frozenset[str]

    def verdict(self, subject: Subject) -> tuple[float, str]:
        """The key of a subject and the reason; 0 for what is kept back."""
        owners = subject.agents or (NOBODY,)
        if owners == EVERYBODY:
            return 0.0, ""
        if self.kept.isdisjoint(owners):
            return 2 * GOES_FIRST, "not_at_work" if self.over.isdisjoint(owners) else "over_its_share"
        if subject.role == "private" and not subject.session:
            return 2 * GOES_FIRST, "session_over"
        if self.tenants and tenant_of(owners[0]) in self.tenants and len({*map(tenant_of, owners)}) == 1:
            return GOES_FIRST, "tenant_over_its_share"
        return 0.0, ""


class CacheShares:
    """Follows who is at work, and reads what is resident of whom."""

    def __init__(self) -> None:
        self._resident = ResidentTokens()
        self._capacity_tokens = 0
        self._computed_tokens = 0
        self._asked: Bounded[str, Bounded[str, int]] = Bounded(MAX_SESSIONS)
        self._at_work: frozenset[str] | None = None
        self._known: tuple[tuple[int, float], Standing | None] | None = None

    def reckon(self, resident: ResidentTokens) -> None:
        """See BasePolicy.reckon."""
        if resident is not self._resident:
            self._resident, self._known = resident, None

    def observe(self, event: EngineEvent) -> None:
        match event:
            case PrefixMatched():
                self._computed_tokens += max(0, event.prompt_tokens - event.cached_tokens)
                if not event.warm:
                    session = event.session or event.rid
                    agents = self._asked.get(session) or self._asked.put(session, Bounded(MAX_AGENTS_OF_SESSION))
                    agents.put(event.agent, self._computed_tokens)
            case SessionEnded():
                self._asked.pop(event.session)
            case EngineStarted() | EngineLoadSampled():
                self._capacity_tokens = event.capacity_tokens
            case _:
                return
        self._at_work = self._known = None

    def standing(self, share: float) -> Standing | None:
        """Who is over `share` of the cache, None if nobody is or nothing is to be kept for others. Worked out anew only
        when something changed: with each victim what is resident, but not who is at work."""
        if share >= 1.0 or not self._capacity_tokens:
            return None
        now = (self._resident.changes, share)
        if self._known is None or self._known[0] != now:
            self._known = now, self._worked_out(share * self._capacity_tokens)
        return self._known[1]

    def _worked_out(self, limit_tokens: float) -> Standing | None:
        over = self._resident.agents_above(limit_tokens) - {*EVERYBODY}
        tenants = self._resident.tenants_above(limit_tokens)
        if not over and not tenants:
            return None
        kept = frozenset(agent for agent in self._working() - over if self._resident.of(agent))
        if all(tenant_of(agent) in tenants for agent in kept):  # tenants whose shares nobody else could have instead
            tenants = frozenset[str]()
        return Standing(over, tenants, kept) if kept and (over or tenants) else None

    def _working(self) -> frozenset[str]:
        if self._at_work is None:
            since, asked = self._computed_tokens - TURNOVERS * self._capacity_tokens, self._asked.items()
            self._at_work = frozenset(agent for _, of in asked for agent, at in of.items() if at >= since)
        return self._at_work
