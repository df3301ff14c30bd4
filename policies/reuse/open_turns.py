"""Turns that nothing has followed yet.

That a session goes on shows soon, that it is over only when it has been idle for long. Counted no earlier, ends would
seem far too rare as long as most sessions are young. So an open turn is counted for as much as its session is likely
over, and again at every fit (expectation-maximization for censored data: Dempster, Laird and Rubin, 1977). What is
counted in the end weighs as if it had been counted when the turn began: all outcomes of its time fade alike.
"""

from __future__ import annotations

import numpy as np

from .leaving import PLACES, place_of
from .liveness import Gaps, Residual
from .rates import not_over
from .standing import Session, Standing
from .tables import Tables
from .transitions import FINISHES, LONGEST_SPAN, SPAN, Floats, Ints, Transitions
from .turns import SPAN as TURNS_SPAN
from .turns import Turns

POSSIBLE = 1e-4
"""Probability of an end that silence is held against where ends are hardly ever counted, or none could ever show."""


def begin_turn(session: Session, transitions: Transitions, turns: Turns) -> None:
    """What is counted of its turn will weigh as if it were now."""
    session.seen_of_agent = transitions.seen(session.finish, session.agent)
    session.seen_of_turn = turns.seen(session)


class OpenTurns:
    """Those of agents that the tables know, with how likely each is its session's last: by its agent alone, and all in
    all. One that runs may not be over."""

    def __init__(self, here: Standing, tables: Tables, turns: Turns, hints_right: float) -> None:
        sessions = [one for one in here.by_name.values() if one.agent < tables.agents]
        ends = tables.ends_of({session.agent for session in sessions})
        self._sessions = sessions
        self._idle = np.array([not session.running for session in sessions], np.float32)
        self._finish = np.array([session.finish for session in sessions], np.intp)
        self._at = np.array([session.agent for session in sessions], np.intp)
        closed = turns.closings.mean
        self._by_agent = [closed if one.closes else ends[one.agent][one.finish] for one in sessions]
        chances, told = turns.chances(), zip(sessions, self._by_agent, strict=True)
        self._p_end = np.array(
            [turns.end(one, chances.of(one.turn, closes=one.closes), by_agent, hints_right) for one, by_agent in told]
        )
        self._place = np.array([place_of(one.turn, closes=one.closes) for one in sessions], np.intp)
        self._beta_per_s = tables.beta_per_s

    def count(self, transitions: Transitions, turns: Turns, gaps: Gaps, untold_ends: float, now_s: float) -> None:
        """Tell both how many there are, and how many of them are likely the last of their sessions."""
        over = self._over(gaps, untold_ends, now_s)
        sessions, agents = self._sessions, transitions.agents
        cell, cells = self._finish * agents + self._at, FINISHES * agents
        waited = transitions.waited(self._finish, self._at, np.array([it.seen_of_agent for it in sessions], np.intp))
        span = _span(cell, waited, 1.0 - over, cells, SPAN)
        weight = self._idle * transitions.weights(self._finish, self._at, waited)
        of_agents = np.array([np.bincount(cell, of, cells) for of in (weight, weight * over)], np.float32)
        transitions.open(*of_agents.reshape(2, FINISHES, agents), span=span.reshape(FINISHES, agents))
        waited = turns.waited(self._place, np.array([it.seen_of_turn for it in sessions], np.intp))
        span = _span(self._place, waited, 1.0 - over, PLACES, TURNS_SPAN)
        weight = self._idle * turns.weights(self._place, waited)
        of_turns = (weight, weight * over, weight * self._by_agent)
        turns.open(*(np.bincount(self._place, of, PLACES).tolist() for of in of_turns), span=span.tolist())

    def _over(self, gaps: Gaps, untold_ends: float, now_s: float) -> Floats:
        """The probability that each session is over."""
        idle_s = np.array([max(0.0, now_s - session.since_s) for session in self._sessions])
        still, _ = Residual(gaps.shapes(self._finish, self._at), self._beta_per_s).after(idle_s)
        over = 1.0 - not_over((1.0 - self._p_end) * still, untold_ends * self._p_end)
        by_silence = 1.0 - not_over((1.0 - POSSIBLE) * still, untold_ends * POSSIBLE)
        return self._idle * np.maximum(over, by_silence - POSSIBLE)


def _span(place: Ints, waited: Ints, alive: Floats, places: int, least: int) -> Ints:
    """By place, twice as many counts as passed on the mean since turns began that are open and not over."""
    counts = np.bincount(place, 2.0 * waited * alive, places) / np.maximum(np.bincount(place, alive, places), 1e-9)
    return np.clip(counts, least, LONGEST_SPAN).astype(np.uint16)
