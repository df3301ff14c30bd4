"""Whether what a tenant's callers say of themselves holds, judged by what they send.

A conversation that goes on goes on in the session that it was in, and a system prompt that sessions have in common is
the same agent's in each. A caller that makes a name up for each request, or draws one by chance, says otherwise. One
such request proves nothing: names are doubted once few of those that could be judged lately held, and believed again
once most do; one that held a few times itself is gone by all the while, whatever others are called. Names that lump
together are not doubted: there are agents of many prompts, and sessions of many conversations. Nor are agents' names
that are drawn by chance where there are only a handful of prompts: too many agree, as do those of a few agents that
share a few prompts.
"""

from __future__ import annotations

from typing import Literal

from ..bounded import Bounded
from ..events import NamesDoubted
from ..shares import Share

DOUBTED, BELIEVED = 0.25, 0.5
"""Share of names that held: below the first they are doubted, until it is above the second."""
MAX_NAMES = 2_048
PRIOR = 4
"""Names taken to have held before any could be judged."""
FEW = 4
"""Agents of a prompt, or prompts of an agent, that may come by turns."""
SEVERAL = ""
"""In place of a session's name."""


class NamesHold:
    """One kind of name. Believed until some thirteen of a new tenant did not hold, one after the other, and those that
    held themselves even then: a team of agents of one kind that each ask once looks the same for so long."""

    def __init__(self) -> None:
        self._held = Share(1.0, weight=PRIOR)
        self._of_each: Bounded[str, Share] = Bounded(MAX_NAMES)
        self.doubted = False

    @property
    def held(self) -> float:
        """The share of the last few names that held, 0 to 1."""
        return self._held.mean

    def believes(self, name: str) -> bool:
        """Whether that name is gone by."""
        own = self._of_each.get(name) if self.doubted else None
        return not self.doubted or (own is not None and own.mean > BELIEVED)

    def see_one(self, name: str, held: float) -> None:
        """That name held, or did not: 1 or 0, and between them where it might have by chance."""
        (self._of_each.get(name) or self._of_each.put(name, Share(0.0))).see(held)

    def see(self, held: bool) -> bool:
        """A name could be judged. Returns whether names are doubted, or believed again, from now on."""
        self._held.see(float(held))
        before, self.doubted = self.doubted, self.held < (BELIEVED if self.doubted else DOUBTED)
        return self.doubted != before


class TenantNames:
    """`agents` and `sessions`: whether a tenant's names of either kind hold. Bounded, like all that is known here."""

    def __init__(self, tenant: str) -> None:
        self.agents, self.sessions = NamesHold(), NamesHold()
        self._tenant = tenant
        self._names_of: Bounded[str, list[str]] = Bounded(MAX_NAMES)
        self._prompts_of: Bounded[str, list[str]] = Bounded(MAX_NAMES)
        self._session_of: Bounded[str, str] = Bounded(MAX_NAMES)

    def agent_sends(self, name: str, fingerprint: str, session: str, now_s: float) -> NamesDoubted | None:
        """An agent that calls itself `name` sends a prompt with that head in that session. Returns what is news."""
        held = self._held(name, fingerprint)
        before = self._session_of.get(fingerprint)
        self._session_of.put(fingerprint, session if before in (None, session) else SEVERAL)
        if before is not None:
            self.agents.see_one(name, held)
        if before is None or before == session:  # sessions may have a prompt of their own for all of their agents
            return None
        return self._news("agents", self.agents, held, now_s)

    def session_goes_on(self, said: str, held: float, now_s: float) -> NamesDoubted | None:
        """A conversation goes on, called `said`, which it was before or not (`held`: as for `see_one`). Returns what is
        news."""
        self.sessions.see_one(said, held)
        return self._news("sessions", self.sessions, held > 0, now_s)

    def _held(self, name: str, fingerprint: str) -> bool:
        """Whether either was last seen with the other, or with few and that among them."""
        by_prompt = _among(self._names_of, fingerprint, name)
        return _among(self._prompts_of, name, fingerprint) or by_prompt  # both learn

    def _news(
        self, what: Literal["agents", "sessions"], names: NamesHold, held: bool, now_s: float
    ) -> NamesDoubted | None:
        if not names.see(held):
            return None
        return NamesDoubted(
            t_ns=int(now_s * 1e9), tenant=self._tenant, what=what, doubted=names.doubted, held=names.held
        )


def _among(table: Bounded[str, list[str]], key: str, value: str) -> bool:
    """Whether `key` was last seen with `value`, or with few and that among them. Learns that it was seen with it."""
    before = table.get(key) or []
    held = before[-1:] == [value] or (len(before) <= FEW and value in before)
    table.put(key, [*[other for other in before if other != value][-FEW:], value])
    return held
