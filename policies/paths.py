"""Which path to prefill between steps: an agent's anchor and what a session is about to give it, as far as that is not
cached: its own history that was evicted, or, where agents share one transcript, what the others added to it.
"""

from __future__ import annotations

from array import array

from .events import ActionTaken, NodeEvicted, PrefixMatched
from .lengths import Lengths
from .pairs import NOWHERE
from .shares import Share
from .standing import Session

SHARED = 0.85
"""From this share of growing prompts on, the agents of a session are taken to see one transcript."""


class Paths:
    """`used`, `wasted`: paths that were warmed and asked for next, or not. `lengths`: of the sessions' last prompts."""

    def __init__(self, lengths: Lengths) -> None:
        self.used = self.wasted = 0
        self._lengths = lengths
        self._anchor_tokens = array("I")
        self._grows = Share(0.5)

    def dispatched(self, event: PrefixMatched, session: Session, before: int) -> None:
        """The session's agent has a new prompt; `before`: the agent that had the one before, or NOWHERE."""
        agent = session.agent
        while len(self._anchor_tokens) <= agent:
            self._anchor_tokens.append(0)
        self._anchor_tokens[agent] = min(0xFFFFFFFF, max(0, event.anchor_tokens))
        tail_tokens = self._tail_tokens(session, before) if before not in (NOWHERE, agent) else None
        if tail_tokens is not None:
            self._grows.see(float(max(0, event.prompt_tokens - event.anchor_tokens) >= tail_tokens))
        if session.warmed != NOWHERE:
            self.used += session.warmed == agent
            self.wasted += session.warmed != agent
            session.warmed = NOWHERE

    def _tail_tokens(self, session: Session, agent: int) -> int | None:
        """Tokens behind the anchor of the agent's last prompt in the session; None if that is not known."""
        row = self._lengths.row(session.place, agent)
        return None if row is None else max(0, self._lengths.prompt_tokens(row) - self._anchor_tokens[agent])

    def evicted(self, event: NodeEvicted, session: Session, agent: int) -> None:
        """A part of the agent's history in the session went, if it is not one that was passed by."""
        row = self._lengths.row(session.place, agent)
        if row is not None:
            self._lengths.lost(row, event.tokens)
        session.warmed = NOWHERE if session.warmed == agent else session.warmed

    def warmed(self, event: ActionTaken, session: Session, agent: int) -> None:
        """Whatever became of the warm-up, it is not asked for again until something changes."""
        session.warmed = agent
        row = self._lengths.row(session.place, agent)
        if event.ok and row is not None:
            self._lengths.restored(row)

    def ended(self, session: Session) -> None:
        self.wasted += session.warmed != NOWHERE

    def missing_tokens(self, session: Session, agent: int) -> int:
        """Tokens behind the anchor that a warm-up of the agent's path would add, as far as is known; 0 if it was warmed
        already."""
        latest_tokens = self._tail_tokens(session, session.agent)
        if session.warmed == agent or latest_tokens is None:
            return 0
        row = self._lengths.row(session.place, agent)
        missing_tokens = 0 if row is None else self._lengths.lost_tokens(row)
        if self._grows.mean >= SHARED and agent != session.agent:
            missing_tokens += max(0, latest_tokens - (self._tail_tokens(session, agent) or 0))
        return missing_tokens
