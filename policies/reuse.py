"""How soon each agent is dispatched again: one rate per agent, and one per live session and agent.

The rate of reuse is what a cached token is worth. A session that is at agent i makes a first passage to agent a in a
time that is discounted by `beta`, the rate at which the cache turns over (Little's law: missed tokens per second over
capacity), since reuse that comes after the token would have been displaced anyway is worth nothing. A discount V stands
for the rate beta V / (1 - V).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .liveness import Gaps, residual
from .transitions import ANSWER, Floats, Ints, Transitions, first_passage

MAX_AGENTS = 64
MAX_SESSIONS = 256
REFIT_EVERY = 24
"""Dispatches between two fits of the tables, once there are some; fewer at first."""
SMOOTHING_S = 60.0
BETA_BOUNDS = (1e-4, 5.0)
CERTAIN = 0.98
"""Discounts above this are cut: their rate would grow without bound."""
TICK_S = 0.01
"""Time is read in ticks of this size, so that what was computed for a tick is computed once."""


@dataclass(slots=True)
class Session:
    """Where a live session stands: the agent dispatched last, how its response finished, since when it is idle (or
    runs, if `running` > 0), and the prompt tokens each agent had last."""

    agent: int
    since_s: float
    finish: int = ANSWER
    running: int = 1
    closed: bool = False
    prompt_tokens: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(slots=True)
class Rates:
    """At one instant, per second: reuse of each agent by each live session `[row, agent]` and by all together, and the
    probability that each is dispatched before the cache has turned over."""

    rows: dict[str, int]
    by_session: Floats
    by_agent: Floats
    survival: Floats
    alive: Floats
    next_agent: Floats


class ReuseModel:
    """Learns from dispatches, responses and ends of sessions; answers with rates. Time only comes in arguments."""

    def __init__(self) -> None:
        self.agents: dict[str, int] = {}
        self.sessions: dict[str, Session] = {}
        self.capacity_tokens = 0
        self.turnover = 2.0
        self.dispatches = 0
        self.transitions = Transitions()
        self.gaps = Gaps()
        self.run_s = np.full(MAX_AGENTS, 0.3, np.float32)
        self._missed_tokens = 0.0
        self._new_sessions = 0.0
        self._begun_s = self._now_s = -1.0
        self._fitted_at = 0
        self._rates: Rates | None = None
        self._rates_at = -1.0

    # ---- learning ----------------------------------------------------------------------------------------------------

    def slot(self, agent: str) -> int:
        """The agent's slot; a new agent beyond MAX_AGENTS takes that of the one dispatched longest ago."""
        if agent not in self.agents:
            self.agents[agent] = self._free_slot()
            self.transitions.grow(len(self.agents))
            self.gaps.grow(len(self.agents))
            self._fitted_at = 0
        return self.agents[agent]

    def _free_slot(self) -> int:
        if len(self.agents) < MAX_AGENTS:
            return len(self.agents)
        slot = self.agents.pop(next(iter(self.agents)))
        self.transitions.forget(slot)
        self.gaps.forget(slot)
        self.run_s[slot] = 0.3
        for name in [name for name, session in self.sessions.items() if session.agent == slot]:
            del self.sessions[name]
        for session in self.sessions.values():
            session.prompt_tokens.pop(slot, None)
        return slot

    def dispatched(self, name: str, agent: str, missed_tokens: int, now_s: float) -> Session:
        """A request of a session reached its prefill. Returns the session, already moved on to the agent."""
        self._pass_time(now_s)
        slot = self.slot(agent)
        self.agents[agent] = self.agents.pop(agent)
        self._missed_tokens += missed_tokens
        self.dispatches += 1
        session = self.sessions.pop(name, None)
        if session is None:
            session = self._begin(slot, now_s)
        else:
            self._move(session, slot, now_s)
        self.sessions[name] = session
        while len(self.sessions) > MAX_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        if self.dispatches - self._fitted_at >= min(REFIT_EVERY, self.dispatches // 8 + 1):
            self._fit(now_s)
        return session

    def _begin(self, slot: int, now_s: float) -> Session:
        self.transitions.started(slot)
        self._new_sessions += 1.0
        return Session(slot, now_s)

    def _move(self, session: Session, slot: int, now_s: float) -> None:
        if session.closed:
            self.transitions.not_ended(session.finish, session.agent)
            session.closed = False
        gap_s = 0.0 if session.running else max(0.0, now_s - session.since_s)
        self.gaps.came_back(session.finish, session.agent, gap_s)
        self.transitions.moved(session.finish, session.agent, slot)
        session.agent, session.since_s, session.finish = slot, now_s, ANSWER
        session.running += 1

    def responded(self, name: str, now_s: float) -> None:
        """A response of the session is complete."""
        session = self.sessions.get(name)
        if session is None or not session.running:
            return
        self._pass_time(now_s)
        session.running -= 1
        if not session.running:
            self.run_s[session.agent] += 0.1 * (max(0.0, now_s - session.since_s) - self.run_s[session.agent])
            session.since_s = now_s

    def finished_with(self, name: str, agent: str, finish: int) -> None:
        """How the last response of the session finished, if the session has not moved on meanwhile."""
        session = self.sessions.get(name)
        if session is not None and self.agents.get(agent) == session.agent:
            session.finish = finish
            self._rates = None

    def ended(self, name: str) -> None:
        session = self.sessions.pop(name, None)
        if session is not None and not session.closed:
            self.transitions.ended(session.finish, session.agent)
        self._rates = None

    def forget_sessions(self) -> None:
        """The engine began anew: nothing is running, no history is cached."""
        self.sessions.clear()
        self._rates = None

    def _pass_time(self, now_s: float) -> None:
        """Let the counts of the last minute fade."""
        if self._begun_s < 0:
            self._begun_s = self._now_s = now_s
        fade = math.exp(-max(0.0, now_s - self._now_s) / SMOOTHING_S)
        self._missed_tokens *= fade
        self._new_sessions *= fade
        self._now_s = max(self._now_s, now_s)
        self._rates = None

    def _window_s(self) -> float:
        """Seconds that the faded counts stand for."""
        age_s = max(1.0, self._now_s - self._begun_s)
        return SMOOTHING_S * (1.0 - math.exp(-age_s / SMOOTHING_S))

    @property
    def beta_per_s(self) -> float:
        """Rate at which the cache turns over."""
        if not self.capacity_tokens:
            return 0.05
        beta = self.turnover * self._missed_tokens / self._window_s() / self.capacity_tokens
        return min(max(beta, BETA_BOUNDS[0]), BETA_BOUNDS[1])

    # ---- tables, fitted every few dispatches -------------------------------------------------------------------------

    def _fit(self, now_s: float) -> None:
        self._fitted_at = self.dispatches
        self._close_idle(now_s)
        count = len(self.agents)
        self._beta = self.beta_per_s
        self._following = self.transitions.following()
        self._pause = self.gaps.discount(count, self._beta)
        step = (self._pause * np.exp(-self._beta * self.run_s[:count]))[:, None] * self._following[:, 1:]
        self._passage = first_passage(step)
        self._start = self._reach(self.transitions.first()[None, :])[0]
        self._rates = None

    def _close_idle(self, now_s: float) -> None:
        """Take sessions for ended that have been idle far longer than sessions are."""
        limit_s = max(5.0, 2.0 * self.gaps.longest_s())
        for session in self.sessions.values():
            if not session.closed and now_s - session.since_s > limit_s:
                session.closed = True
                session.running = 0
                self.transitions.ended(session.finish, session.agent)

    def _reach(self, following: Floats) -> Floats:
        """Discount until each agent's next dispatch, from the distribution of the next agent `[row, agent]`: it comes
        at once, or after a passage from another one that does."""
        return following + following @ self._passage - following * np.diag(self._passage)

    # ---- rates at an instant -----------------------------------------------------------------------------------------

    def rates(self, now_s: float) -> Rates | None:
        """The rates at an instant, None as long as nothing was dispatched. Computed at most once per tick and event."""
        tick_s = math.floor(now_s / TICK_S) * TICK_S
        if self._rates is None or tick_s != self._rates_at:
            self._rates = self._rates_now(tick_s) if self._fitted_at else None
            self._rates_at = tick_s
        return self._rates

    def _rates_now(self, now_s: float) -> Rates:
        live = {name: session for name, session in self.sessions.items() if not session.closed}
        at = np.array([session.agent for session in live.values()], np.intp)
        finish = np.array([session.finish for session in live.values()], np.intp)
        running = np.array([session.running > 0 for session in live.values()], bool)
        idle_s = np.maximum(0.0, now_s - np.array([session.since_s for session in live.values()], float))
        by_finish = self.transitions.following_finish(finish, at, self._following)
        row = np.where(running[:, None], self._following[at], by_finish)
        following = row[:, 1:] / np.maximum(row[:, 1:].sum(1, keepdims=True), 1e-9)
        alive, rest = self._coming_back(row[:, 0], finish, at, running, idle_s)
        value = np.minimum((alive * rest)[:, None] * self._reach(following), CERTAIN)
        by_session = self._beta * value / (1.0 - value)
        fresh = self._new_sessions / self._window_s() * self._start
        return Rates(
            rows={name: n for n, name in enumerate(live)},
            by_session=by_session.astype(np.float32),
            by_agent=by_session.sum(0) + fresh,
            survival=1.0 - np.prod(1.0 - value, axis=0) * np.exp(-fresh / self._beta),
            alive=alive,
            next_agent=(alive[:, None] * following).astype(np.float32),
        )

    def _coming_back(
        self, p_end: Floats, finish: Ints, at: Ints, running: NDArray[np.bool_], idle_s: Floats
    ) -> tuple[Floats, Floats]:
        """Probability that each session is not over, and the discount until its next request if it is not."""
        still, rest = residual(self.gaps.shapes(finish, at), idle_s, self._beta)
        waiting = (1.0 - p_end) * still
        alive = np.where(running, 1.0 - p_end, waiting / np.maximum(waiting + p_end, 1e-9))
        to_run_s = np.maximum(self.run_s[at] - idle_s, 0.0)
        return alive, np.where(running, np.exp(-self._beta * to_run_s) * self._pause[at], rest)
