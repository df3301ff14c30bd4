"""Turns that nothing has followed yet.

That a session goes on shows soon, that it is over only when it has been idle for long. Counted no earlier, ends would
seem far too rare as long as most sessions are young. So an open turn is counted for as much as its session is likely
over, and again at every fit (expectation-maximization for censored data: Dempster, Laird and Rubin, 1977). What is
counted in the end weighs as if it had been counted when the turn began: all outcomes of its time fade alike.
"""

from __future__ import annotations

import numpy as np

from .leaving import BUCKETS, bucket_of
from .liveness import Gaps, Residual
from .rates import not_over
from .standing import Session, Standing
from .tables import Tables
from .transitions import FINISHES, Floats, Transitions
from .turns import Turns

POSSIBLE = 1e-4
"""Probability of an end that silence is held against where ends are hardly ever counted, or none could ever show."""


def begin_turn(session: Session, transitions: Transitions, turns: Turns) -> None:
    """What is counted of its turn will weigh as if it were now."""
    session.faded_of_agent = transitions.faded(session.finish, session.agent)
    session.faded_of_turn = turns.faded(session.turn)


class OpenTurns:
    """Those of sessions that do not run, of agents that the tables know, with how likely each is its session's last: by
    its agent alone, and all in all."""

    def __init__(self, here: Standing, tables: Tables, turns: Turns, hints_right: float) -> None:
        sessions = [one for one in here.by_name.values() if not one.running and one.agent < tables.agents]
        ends = tables.ends_of({session.agent for session in sessions})
        self._sessions = sessions
        self._finish = np.array([session.finish for session in sessions], np.intp)
        self._at = np.array([session.agent for session in sessions], np.intp)
        self._by_agent = [ends[session.agent][session.finish] for session in sessions]
        chances, told = turns.chances(), zip(sessions, self._by_agent, strict=True)
        self._p_end = np.array(
            [turns.end(one, chances.of(one.turn, closes=one.closes), by_agent, hints_right) for one, by_agent in told]
        )
        self._bucket = np.array([bucket_of(session.turn) for session in sessions], np.intp)
        self._beta_per_s = tables.beta_per_s

    def count(self, transitions: Transitions, turns: Turns, gaps: Gaps, untold_ends: float, now_s: float) -> None:
        """Tell both how many there are, and how many of them are likely the last of their sessions."""
        over = self._over(gaps, untold_ends, now_s)
        sessions, agents, buckets = self._sessions, transitions.agents, len(BUCKETS) + 1
        weight = np.array([transitions.weight(it.finish, it.agent, it.faded_of_agent) for it in sessions])
        cell = self._finish * agents + self._at
        of_agents = np.array([np.bincount(cell, of, FINISHES * agents) for of in (weight, weight * over)], np.float32)
        number = np.bincount(cell, minlength=FINISHES * agents)
        transitions.open(*of_agents.reshape(2, FINISHES, agents), number=number.reshape(FINISHES, agents))
        weight = np.array([0.0 if it.closes else turns.weight(it.turn, it.faded_of_turn) for it in sessions])
        of_turns = (weight, weight * over, weight * self._by_agent, None)
        turns.open(*(np.bincount(self._bucket, of, buckets).tolist() for of in of_turns))

    def _over(self, gaps: Gaps, untold_ends: float, now_s: float) -> Floats:
        """The probability that each session is over."""
        idle_s = np.array([max(0.0, now_s - session.since_s) for session in self._sessions])
        still, _ = Residual(gaps.shapes(self._finish, self._at), self._beta_per_s).after(idle_s)
        over = 1.0 - not_over((1.0 - self._p_end) * still, untold_ends * self._p_end)
        by_silence = 1.0 - not_over((1.0 - POSSIBLE) * still, untold_ends * POSSIBLE)
        return np.maximum(over, by_silence - POSSIBLE)
