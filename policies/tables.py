"""What was learned of transitions and gaps, fitted into tables every few dispatches, and what they say of one session:
how likely it is to end, and the discount until it dispatches each agent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .habits import Habits
from .leaving import Leaving, Onward, Stood
from .liveness import Gaps
from .pairs import back_of
from .standing import Session
from .transitions import ANSWER, FINISHES, PAIR_WEIGHT, TOOL, Floats, Ints, Transitions, first_passage

MOST_KEPT = 2
"""Agents of whom it is kept what follows them, in case they are asked for again before it changes."""

HARDLY = 1e-3
"""Where a session leaves an agent more seldom than this, nobody asks where to."""


class Tables:
    """One fit, in half precision where it is kept. `beta_per_s`: the discount it was made for; `start[a]`: discount
    until agent a is dispatched by a session from the moment it begins. What follows an agent is by the latest counts,
    or by those of the moment that somebody keeps it from."""

    def __init__(self, transitions: Transitions, gaps: Gaps, run_s: Floats, beta_per_s: float, predicts: bool) -> None:
        self.agents = count = transitions.agents
        self.beta_per_s = beta_per_s
        self._transitions = transitions
        self._latest: dict[int, Leaving] = {}
        self._back = transitions.pairs.back()
        counts, marginal = transitions.counts(), transitions.marginal()
        self._habits = Habits(counts, marginal, transitions.met.mean)
        following, by_finish, unmet = self._habits.following(counts, np.arange(count))
        by_finish /= (np.add.reduce(by_finish, -1) + unmet)[:, :, None]
        first = transitions.first(marginal)
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

    def leaving(self, agent: int) -> Leaving:
        """What follows the agent by the latest counts; by these for ever, whatever becomes of them."""
        found = self._latest.get(agent)
        if found is None:
            found = self._latest[agent] = Leaving(agent)
        return found

    def changing(self, agent: int) -> None:
        """What is counted of an agent is about to become another."""
        leaving = self._latest.pop(agent, None)
        if leaving is not None and leaving.onward is None:
            leaving.counts = self._transitions.of(agent, self.agents)

    def forget(self) -> None:
        """Nobody keeps what follows any agent, and what was worked out takes room."""
        while len(self._latest) > MOST_KEPT:
            del self._latest[next(iter(self._latest))]

    def all_changing(self) -> None:
        """The same, and all is about to change."""
        self._latest.clear()

    def ends(self, wanted: Sequence[Leaving]) -> dict[Leaving, Sequence[float]]:
        """The probability of an end by how a response finished, as in Onward; kept nowhere."""
        found = {leaving: leaving.onward.ends for leaving in wanted if leaving.onward is not None}
        unknown = [leaving for leaving in dict.fromkeys(wanted) if leaving.onward is None]
        if unknown:
            told = self._habits.ends(self._counts(unknown), _agents(unknown))
            found |= zip(unknown, told.T.tolist(), strict=True)
        return found

    def _counts(self, wanted: Iterable[Leaving]) -> bytes:
        return b"".join([one.counts or self._transitions.of(one.agent, self.agents) for one in wanted])

    def prepare(self, wanted: Iterable[Leaving]) -> None:
        """Work out what follows, all at once."""
        unknown = [leaving for leaving in dict.fromkeys(wanted) if leaving.onward is None]
        if not unknown:
            return
        ends, moving = self._habits.after(self._counts(unknown), _agents(unknown))
        if self._overall is not None:
            moving[:] = self._overall
        told = zip(unknown, ends.T.tolist(), (1.0 - ends).T.tolist(), strict=True)
        for place, (leaving, over, goes_on) in enumerate(told):
            leaving.onward, leaving.counts = Onward(over, goes_on, moving[:, place]), None

    def after(self, leaving: Leaving) -> Onward:
        if leaving.onward is None:
            self.prepare((leaving,))
        assert leaving.onward is not None
        return leaving.onward

    def stood(self, session: Session, noted: int = 0) -> Stood:
        """Where the session stands by the latest counts."""
        pairs = self._transitions.pairs.rows(session.came_from, session.agent, returned=session.returned)
        return self.leaving(session.agent), pairs, noted

    def _next_agent(self, session: Session, stood: Stood, finish: int) -> Floats:
        """Which agent is next after a response that finished so, if the session goes on; sums to at most 1, the rest
        goes to an agent nobody has met. Read only. Whether it leaves the agent is by that agent; where it goes then
        also by where it came from."""
        row, seen = self.after(stood[0]).agents[finish], stood[1][finish]
        agent, came_from = session.agent, session.came_from
        leaves = 1.0 - float(row[agent])
        known = 0 <= came_from < self.agents
        if leaves < HARDLY or self._overall is not None or not (seen or known):
            return row
        row = row * (PAIR_WEIGHT / leaves)
        row[agent], count = 0.0, 0
        for following, times in seen.items():
            row[following] += times
            count += times
        if not known:
            row *= leaves / (PAIR_WEIGHT + count)
        else:
            common = self._back[back_of(finish, session.returned)]
            back = (seen.get(came_from, 0) + common.share * common.weight) / (count + common.weight)
            row *= leaves * (1.0 - back) / max(1e-6, PAIR_WEIGHT + count - float(row[came_from]))
            row[came_from] = leaves * back
        row[agent] = 1.0 - leaves
        return row

    def end(self, session: Session, stood: Stood) -> float:
        """Probability that the session has no further dispatch, by its agent's response alone, whatever its turn."""
        return self.after(stood[0]).ends[FINISHES if session.running else session.finish]

    def onward(self, session: Session, stood: Stood) -> Floats:
        """Probabilities of the next agent if there is one; while it runs, discounted by the pause that follows."""
        if not session.running:
            return self._next_agent(session, stood, session.finish)
        after, paused = self.after(stood[0]), self._paused
        answered = float(paused[ANSWER, session.agent]) * after.goes_on[ANSWER]
        asked = float(paused[TOOL, session.agent]) * after.goes_on[TOOL]
        row = answered * self._next_agent(session, stood, ANSWER)
        row += asked * self._next_agent(session, stood, TOOL)
        row /= max(1e-6, after.goes_on[FINISHES])
        return row


def _agents(wanted: Iterable[Leaving]) -> Ints:
    return np.array([leaving.agent for leaving in wanted])


def _forget_who_follows(following: Floats, by_finish: Floats) -> Floats:
    """Keep when sessions end and come back, but let every agent be as likely as it is overall. Returns how likely."""
    overall = following[:, 1:].mean(0)
    overall = overall / overall.sum()
    for rows in (following, by_finish):
        rows[..., 1:] = (1.0 - rows[..., :1]) * overall
    return overall
