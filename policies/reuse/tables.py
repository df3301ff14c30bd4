"""What was learned of transitions and gaps, fitted into tables every few dispatches, and what they say of one session:
how likely it is to end, and the discount until it dispatches each agent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np

from .habits import Habits
from .leaving import Chances, Leaving, Onward, Stood
from .liveness import Gaps
from .next_agents import NextAgents
from .pairs import Row
from .passages import Moment, Passages
from .standing import Session, Standing
from .team import SELDOM, reach_own
from .transitions import ANSWER, FINISHES, TOOL, Floats, Ints, Transitions

MOST_KEPT = 2
"""Agents of whom it is kept what follows them, in case they are asked for again before it changes."""

MOST_NOTED = 6
"""Moves that are noted before they are learned from: what is noted takes room."""


class Move(NamedTuple):
    """A session that left its agent, as it stood before, and the agent that it went on to, None: one nobody had met."""

    session: Session
    stood: Stood
    to: int | None


class Tables:
    """One fit, in half precision where it is kept. What follows an agent is by the latest counts, or by those of the
    moment that somebody keeps it from.

    All numbers are those of the moment of the fit, but they are worked out when somebody first asks, since most fits
    are replaced before: `_still` is what was counted then, `_was` what else is asked for once. What follows an
    agent that a session leaves is noted, and worked out a few moves at a time, see learn_moves."""

    def __init__(
        self,
        transitions: Transitions,
        gaps: Gaps,
        run_s: Floats,
        beta_per_s: float,
        predicts: bool,
        chances: Chances,
    ) -> None:
        """`chances`: of ends, as `Turns` has them."""
        self.agents = transitions.agents
        self.beta_per_s = beta_per_s
        self._transitions, self.predicts = transitions, predicts
        self._distances = transitions.distances.still()
        self._own = transitions.own.mean if predicts and transitions.own.mean >= SELDOM else 0.0
        self._next = NextAgents(self._distances, transitions.pairs.back(), self._own)
        self._moves: list[Move] = []
        self._latest: dict[int, Leaving] = {}
        pause, run_s = gaps.discount(self.agents, beta_per_s), run_s[: self.agents].copy()
        self._still, self._weights = transitions.still(), transitions.weighing.now
        self._at_fit: dict[int, Leaving] = {}
        self._was: Moment | None = Moment(pause, run_s, chances)
        self._known_habits: Habits | None = None
        self._known_passages: Passages | None = None

    @property
    def _habits(self) -> Habits:
        if self._known_habits is None:
            still, counts = self._still, self._still.counts()
            self._known_habits = Habits(counts, still.marginal(counts), still.met.mean, self._weights)
        return self._known_habits

    @property
    def _passages(self) -> Passages:
        if self._known_passages is None:
            assert self._was is not None
            self._known_passages = Passages(
                self._still, self._was, self._habits, self._distances, self.beta_per_s, self.predicts
            )
        return self._known_passages

    @property
    def start(self) -> Floats:
        """Discount until each agent is dispatched by a session, from the moment it begins."""
        return self._passages.start

    def reach(self, following: Floats) -> Floats:
        """See Passages.reach."""
        return self._passages.reach(following)

    def widen(self) -> None:
        """Somebody asks for rates and will again: numbers that need no conversion are faster."""
        self._passages.widen()

    def leaving(self, agent: int) -> Leaving:
        """What follows the agent by the latest counts; by these for ever, whatever becomes of them."""
        found = self._latest.get(agent)
        if found is None:
            found = self._latest[agent] = Leaving(agent)
        return found

    def changing(self, agent: int) -> None:
        """What is counted of an agent is about to become another."""
        was, leaving = self._was, self._latest.pop(agent, None)
        if leaving is not None and leaving.onward is None:
            if was is not None and not was.changed >> agent & 1:
                leaving.was = self._still  # a copy of its own would take more room
            else:
                leaving.counts = self._transitions.of(agent, self.agents)
        if was is not None:
            was.changed |= 1 << agent

    def forget(self) -> None:
        """Nobody keeps what follows any agent, nor where it stood at the fit, and what was worked out takes room."""
        if self._known_passages is not None:
            self._was = None
        while len(self._latest) > MOST_KEPT:
            del self._latest[next(iter(self._latest))]

    def all_changing(self) -> None:
        """The same of all agents."""
        for agent in list(self._latest):
            self.changing(agent)
        if self._was is not None:
            self._was.changed = -1

    def ends(self, wanted: Sequence[Leaving]) -> dict[Leaving, Sequence[float]]:
        """The probability of an end by how a response finished, as in Onward; kept nowhere."""
        return {leaving: onward.ends for leaving, onward in self._after_all(wanted).items()}

    def ends_of(self, agents: Iterable[int]) -> dict[int, Sequence[float]]:
        """The same of these agents by the latest counts."""
        return {leaving.agent: ends for leaving, ends in self.ends([Leaving(agent) for agent in agents]).items()}

    def _counts(self, wanted: Iterable[Leaving]) -> bytes:
        latest, agents = self._transitions, self.agents
        return b"".join([one.counts or (one.was or latest).of(one.agent, agents) for one in wanted])

    def prepare(self, wanted: Iterable[Leaving]) -> None:
        """Work out what follows, all at once."""
        for leaving, onward in self._after_all([one for one in wanted if one.onward is None]).items():
            leaving.onward, leaving.counts, leaving.was = onward, None, None

    def _after_all(self, wanted: Sequence[Leaving]) -> dict[Leaving, Onward]:
        """What follows; what was not worked out before is kept nowhere."""
        found = {leaving: leaving.onward for leaving in wanted if leaving.onward is not None}
        unknown = list(dict.fromkeys(leaving for leaving in wanted if leaving.onward is None))
        if unknown:
            ends, moving = self._habits.after(self._counts(unknown), _agents(unknown))
            told = zip(ends.T.tolist(), (1.0 - ends).T.tolist(), moving.swapaxes(0, 1), strict=True)
            found |= zip(unknown, [Onward(*one) for one in told], strict=True)
        return found

    def after(self, leaving: Leaving) -> Onward:
        if leaving.onward is None:
            self.prepare((leaving,))
        assert leaving.onward is not None
        return leaving.onward

    def stood(self, session: Session, noted: int = 0) -> Stood:
        """Where the session stands by the latest counts; `noted`: turns not learned from yet, see leaving.Stood."""
        return self.leaving(session.agent), _pairs(self._transitions, session), noted

    def stood_at_fit(self, sessions: Sequence[Session]) -> list[Stood]:
        """The same by what was counted at the fit."""
        stood: list[Stood] = [(self._left_at_fit(one.agent), _pairs(self._still, one), 0) for one in sessions]
        self.prepare(leaving for leaving, *_ in stood)
        return stood

    def _left_at_fit(self, agent: int) -> Leaving:
        found = self._at_fit.get(agent)
        if found is None:
            found = self._at_fit[agent] = Leaving(agent, self._still)
        return found

    @property
    def is_new(self) -> bool:
        """Whether nobody has asked yet where sessions stood at the fit."""
        return self._was is not None and not self._was.told

    def unmoved(self, standing: Standing) -> list[tuple[Session, Stood]]:
        """Where sessions stand that are not behind, since they have not moved since the fit. Told once."""
        was = self._was
        if was is None or was.told:
            return []
        was.told = True
        unmoved = [session for name, session in standing.by_name.items() if name not in standing.behind]
        return [
            (one, (self._left_at_fit(one.agent), _pairs(self._still, one), was.chances.of(one.turn, closes=one.closes)))
            for one in unmoved
        ]

    def about_to_move(self, session: Session, slot: int) -> None:
        """The session goes on to that agent: count how lately it was there, and note that it is to be learned whether
        that told better where it goes than the agents that it was at. What is counted of its agent is about to become
        another."""
        if slot != session.agent:
            if session.agent < self.agents and self.predicts:
                met = slot if slot < self.agents and self._transitions.has_met(slot) else None
                self._moves.append(Move(copy(session), self.stood(session), met))
            self._transitions.distances.moved(session.walk, slot)
        self.changing(session.agent)
        if len(self._moves) >= MOST_NOTED:
            self.learn_moves()

    def learn_moves(self) -> None:
        """Learn from the moves that were noted."""
        moves, self._moves = self._moves, []
        after = self._after_all([move.stood[0] for move in moves])
        for session, (leaving, pairs, _), to in moves:
            row = after[leaving].agents[session.finish]
            told = self._next.both_ways(session, session.finish, pairs, row, to)
            if told is not None:
                self._transitions.distances.told(session.walk, *told)

    def _next_agent(self, session: Session, stood: Stood, finish: int) -> Floats:
        """See NextAgents.after; as often as overall where it does not matter who follows whom. Read only."""
        if (overall := self._passages.overall) is not None:
            return overall
        return self._next.after(session, finish, stood[1], self.after(stood[0]).agents[finish])

    def reach_back(self, session: Session, onward: Floats, rest: Floats, goes_on: float, reach: Floats) -> None:
        """Let the discount until each agent that the session has been at be by who these are, too. In place; `onward`:
        discounted probabilities of the next agent, `goes_on`: that there is one; `reach` is by what is left of them in
        `rest`."""
        passages, walk, agent = self._passages, session.walk, session.agent
        if self._own:
            reach_own(reach, self._own, session.team, rest, passages.step)
        if passages.back_to is None or not walk.others:
            return
        again, apart = float(rest[agent]), onward - rest
        later = 1.0 / max(1e-6, 1.0 - passages.step * again / max(1e-6, goes_on))  # it may stay at its agent before
        at_once = [float(onward[slot]) * later - float(apart[slot]) for slot in walk.among(len(onward))]
        all_moves = (goes_on - float(onward[agent])) * later - float(np.add.reduce(apart) - apart[agent])
        self._distances.reach_back(walk, at_once, all_moves, reach, passages.back_to)

    def end(self, session: Session, stood: Stood) -> float:
        """Probability that the session has no further dispatch, by its agent's response alone, whatever its turn."""
        return self.after(stood[0]).ends[FINISHES if session.running else session.finish]

    def onward(self, session: Session, stood: Stood) -> tuple[Floats, float]:
        """Probabilities of the next agent if there is one, and what they would sum to with those of agents that nobody
        has met; while it runs, discounted by the pause that follows."""
        if not session.running:
            return self._next_agent(session, stood, session.finish), 1.0
        answered, asked = self._finishes(session, stood)
        row = answered * self._next_agent(session, stood, ANSWER) + asked * self._next_agent(session, stood, TOOL)
        return row, answered + asked

    def left_of(self, session: Session, stood: Stood) -> float:
        """How likely the session is not over behind the agent that runs, discounted by how long that takes."""
        return (1.0 - self.end(session, stood)) * float(self._passages.ran[session.agent])

    def _finishes(self, session: Session, stood: Stood) -> tuple[float, float]:
        """How likely the response that runs is to finish in each way, if there is a next agent, discounted by the pause
        that follows."""
        goes_on, paused = self.after(stood[0]).goes_on, self._passages.paused[:, session.agent]
        answered, asked = (float(paused[finish]) * goes_on[finish] for finish in (ANSWER, TOOL))
        return answered / max(1e-6, goes_on[FINISHES]), asked / max(1e-6, goes_on[FINISHES])


def _agents(wanted: Iterable[Leaving]) -> Ints:
    return np.array([leaving.agent for leaving in wanted])


def _pairs(transitions: Transitions, session: Session) -> tuple[Row, Row]:
    return transitions.pairs.rows(session.came_from, session.agent, returned=session.returned)
