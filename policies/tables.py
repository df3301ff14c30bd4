"""What was learned of transitions and gaps, fitted into tables every few dispatches, and what they say of one session:
how likely it is to end, and the discount until it dispatches each agent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .liveness import Gaps
from .standing import Session
from .transitions import ANSWER, FINISHES, PAIR_WEIGHT, TOOL, Floats, Transitions, first_passage


class Onward(NamedTuple):
    """What follows a response of one agent. `ends`: probability that nothing does, by how it finished, the last one
    however it did; `goes_on`: that something does; `agents[finish]`: which agent is next then; sums to 1."""

    ends: Sequence[float]
    goes_on: Sequence[float]
    agents: Floats


class Tables:
    """One fit, in half precision where it is kept. `beta_per_s`: the discount it was made for; `start[a]`: discount
    until agent a is dispatched by a session from the moment it begins. What follows an agent is by the latest counts;
    it is worked out when it is asked for, and again after they `changed`."""

    def __init__(self, transitions: Transitions, gaps: Gaps, run_s: Floats, beta_per_s: float, predicts: bool) -> None:
        self.agents = count = transitions.agents
        self.beta_per_s = beta_per_s
        self._transitions = transitions
        self._onward: dict[int, Onward] = {}
        self._marginal = marginal = transitions.marginal()
        following, first = transitions.following(marginal), transitions.first(marginal)
        by_finish = transitions.following_finish(following)
        self._overall: Floats | None = None
        if not predicts:
            first = self._overall = _forget_who_follows(following, by_finish)
        finishes, pause = transitions.finishes(), gaps.discount(count, beta_per_s)
        step = np.einsum("fi,fi,fij->ij", finishes, pause, by_finish[:, :, 1:])
        self._passage = first_passage(np.exp(-beta_per_s * run_s[:count])[:, None] * step).astype(np.float16)
        self._paused = finishes.astype(np.float16) * pause.astype(np.float16)
        self.start = self.reach(first[None])[0]

    def reach(self, following: Floats) -> Floats:
        """Discount until each agent's next dispatch, from (discounted) probabilities of the next one, `[any, agent]`:
        it comes at once, or after a passage from another one that does."""
        passage = self._passage
        return following + (following[:, None] @ passage)[:, 0] - following * passage.diagonal()

    def widen(self) -> None:
        """Somebody asks for rates and will again: numbers that need no conversion are faster."""
        if self._passage.dtype != np.float32:
            self._passage = self._passage.astype(np.float32)

    def changed(self, agent: int) -> None:
        """What is counted of an agent is another than it was."""
        self._onward.pop(agent, None)

    def all_changed(self) -> None:
        self._onward.clear()

    def prepare(self, agents: Iterable[int]) -> None:
        """Work out what follows these agents, all at once."""
        unknown = [agent for agent in dict.fromkeys(agents) if agent not in self._onward]
        if not unknown:
            return
        ends, moving = self._transitions.after(unknown, self._marginal)
        if self._overall is not None:
            moving[:] = self._overall
        told = zip(unknown, ends.T.tolist(), (1.0 - ends).T.tolist(), strict=True)
        for place, (agent, over, goes_on) in enumerate(told):
            self._onward[agent] = Onward(over, goes_on, moving[:, place])

    def _after(self, agent: int) -> Onward:
        if agent not in self._onward:
            self.prepare((agent,))
        return self._onward[agent]

    def next_agent(self, finish: int, session: Session) -> Floats:
        """Which agent is next after a response that finished so, if the session goes on; sums to 1. Read only."""
        row = self._after(session.agent).agents[finish]
        if self._overall is not None:
            return row
        seen = self._transitions.pairs.row(finish, session.came_from, session.agent)
        if seen:
            row = row * PAIR_WEIGHT
            for agent, count in seen.items():
                row[agent] += count
            row /= PAIR_WEIGHT + sum(seen.values())
        return row

    def end(self, session: Session) -> float:
        """Probability that the session has no further dispatch, by its agent's response alone, whatever its turn."""
        return self._after(session.agent).ends[FINISHES if session.running else session.finish]

    def expected_end(self, finish: int, agent: int) -> float:
        """Probability of ending after this agent's response, whatever the turn."""
        if agent >= self.agents:
            return 0.1
        known = self._onward.get(agent)
        return self._transitions.end(finish, agent, self._marginal) if known is None else known.ends[finish]

    def onward(self, session: Session) -> Floats:
        """Probabilities of the next agent if there is one; while it runs, discounted by the pause that follows."""
        if not session.running:
            return self.next_agent(session.finish, session)
        after, paused = self._after(session.agent), self._paused
        answered = float(paused[ANSWER, session.agent]) * after.goes_on[ANSWER]
        asked = float(paused[TOOL, session.agent]) * after.goes_on[TOOL]
        row = answered * self.next_agent(ANSWER, session)
        row += asked * self.next_agent(TOOL, session)
        row /= max(1e-6, after.goes_on[FINISHES])
        return row


def _forget_who_follows(following: Floats, by_finish: Floats) -> Floats:
    """Keep when sessions end and come back, but let every agent be as likely as it is overall. Returns how likely."""
    overall = following[:, 1:].mean(0)
    overall = overall / overall.sum()
    for rows in (following, by_finish):
        rows[..., 1:] = (1.0 - rows[..., :1]) * overall
    return overall
