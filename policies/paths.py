"""Which path to prefill between steps: an agent's anchor and what a session is about to give it, as far as that is not
cached: its own history that was evicted, or, where agents share one transcript, what the others added to it.
"""

from __future__ import annotations

from .events import ActionTaken, NodeEvicted
from .pairs import NOWHERE
from .shares import Share
from .standing import Session

SHARED = 0.85
"""From this share of growing prompts on, the agents of a session are taken to see one transcript."""


class Paths:
    """`used`, `wasted`: paths that were warmed and asked for next, or not."""

    def __init__(self) -> None:
        self.used = self.wasted = 0
        self._grows = Share(0.5)

    def dispatched(self, session: Session, before: int) -> None:
        """The session's agent has a new prompt; `before`: the agent that had the one before, or NOWHERE."""
        agent = session.agent
        session.lost.pop(agent, None)
        if before not in (NOWHERE, agent) and before in session.lengths:
            grows = session.lengths[agent].tail_tokens >= session.lengths[before].tail_tokens
            self._grows.see(float(grows))
        if session.warmed != NOWHERE:
            self.used += session.warmed == agent
            self.wasted += session.warmed != agent
            session.warmed = NOWHERE

    def evicted(self, event: NodeEvicted, session: Session, agent: int) -> None:
        """A part of the agent's history in the session went, if it is not one that was passed by."""
        session.lost[agent] = session.lost.get(agent, 0) + event.tokens
        session.warmed = NOWHERE if session.warmed == agent else session.warmed

    def warmed(self, event: ActionTaken, session: Session, agent: int) -> None:
        """Whatever became of the warm-up, it is not asked for again until something changes."""
        session.warmed = agent
        if event.ok:
            session.lost.pop(agent, None)

    def ended(self, session: Session) -> None:
        self.wasted += session.warmed != NOWHERE

    def missing_tokens(self, session: Session, agent: int) -> int:
        """Tokens behind the anchor that a warm-up of the agent's path would add, as far as is known; 0 if it was warmed
        already."""
        latest = session.lengths.get(session.agent)
        if session.warmed == agent or latest is None:
            return 0
        missing = session.lost.get(agent, 0)
        if self._grows.mean >= SHARED and agent != session.agent:
            seen = session.lengths.get(agent)
            missing += max(0, latest.tail_tokens - (seen.tail_tokens if seen is not None else 0))
        return missing
