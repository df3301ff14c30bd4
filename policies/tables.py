"""What was learned of transitions and gaps, fitted into tables every few dispatches, and what they say of one session:
how likely it is to end, and the discount until it dispatches each agent."""

from __future__ import annotations

import numpy as np

from .liveness import Gaps
from .standing import Session
from .transitions import FINISHES, PAIR_WEIGHT, Floats, Transitions, first_passage
from .turns import Turns


class Tables:
    """One fit, in half precision where it is kept. `beta_per_s`: the discount it was made for; `start[a]`: discount
    until agent a is dispatched by a session from the moment it begins."""

    def __init__(
        self, transitions: Transitions, turns: Turns, gaps: Gaps, run_s: Floats, beta_per_s: float, predicts: bool
    ) -> None:
        self.agents = count = transitions.agents
        self.beta_per_s = beta_per_s
        self._transitions, self._turns = transitions, turns
        following, first = transitions.following(), transitions.first()
        by_finish = transitions.following_finish(following)
        self._overall: Floats | None = None
        if not predicts:
            first = self._overall = _forget_who_follows(following, by_finish)
        finishes, pause = transitions.finishes(), gaps.discount(count, beta_per_s)
        step = np.einsum("fi,fi,fij->ij", finishes, pause, by_finish[:, :, 1:])
        self._passage = first_passage(np.exp(-beta_per_s * run_s[:count])[:, None] * step).astype(np.float16)
        self._finishes, self._pause = finishes.astype(np.float16), pause.astype(np.float16)
        self._marginal = transitions.marginal()
        self.start = self.reach(first)

    def reach(self, following: Floats) -> Floats:
        """Discount until each agent's next dispatch, from (discounted) probabilities of the next one: it comes at once,
        or after a passage from another one that does."""
        return following + following @ self._passage - following * self._passage.diagonal()

    def next_agent(self, finish: int, session: Session) -> Floats:
        """Which agent is next after a response that finished so, if the session goes on; sums to 1."""
        if self._overall is not None:
            return self._overall
        row = self._row(finish, session.agent)[1:]
        row = row / max(1e-9, float(row.sum()))
        seen = self._transitions.pairs.row(finish, session.came_from, session.agent)
        if seen:
            row *= PAIR_WEIGHT
            for agent, count in seen.items():
                row[agent] += count
            row /= PAIR_WEIGHT + sum(seen.values())
        return row

    def end(self, session: Session) -> float:
        """Probability that the session has no further dispatch, by what is known of its response."""
        row = self._following(session.agent) if session.running else self._row(session.finish, session.agent)
        return self._turns.end(session.turn, float(row[0]))

    def expected_end(self, finish: int, agent: int) -> float:
        """Probability of ending after this agent's response, whatever the turn."""
        return float(self._row(finish, agent)[0]) if agent < self.agents else 0.1

    def _row(self, finish: int, agent: int) -> Floats:
        return self._transitions.after(finish, agent, self._following(agent))

    def _following(self, agent: int) -> Floats:
        """What follows the agent, however its response finished; column 0 is the end of the session."""
        return self._transitions.following_one(agent, self._marginal)

    def onward(self, session: Session) -> Floats:
        """Probabilities of the next agent if there is one; while it runs, discounted by the pause that follows."""
        if not session.running:
            return self.next_agent(session.finish, session)
        row = np.zeros(self.agents, np.float32)
        for finish in range(FINISHES):
            share = float(self._finishes[finish, session.agent] * self._pause[finish, session.agent])
            share *= float(1.0 - self._row(finish, session.agent)[0])
            row += share * self.next_agent(finish, session)
        return row / max(1e-6, float(1.0 - self._following(session.agent)[0]))


def _forget_who_follows(following: Floats, by_finish: Floats) -> Floats:
    """Keep when sessions end and come back, but let every agent be as likely as it is overall. Returns how likely."""
    overall = following[:, 1:].mean(0)
    overall = overall / overall.sum()
    for rows in (following, by_finish):
        rows[..., 1:] = (1.0 - rows[..., :1]) * overall
    return overall
