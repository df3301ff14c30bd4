"""How soon each agent is dispatched again: one rate per agent, and one per live session and agent.

The rate of reuse is what a cached token is worth. A session that is at agent i makes a first passage to agent a in a
time that is discounted by `beta`, the rate at which the cache turns over, since reuse that comes after the token would
have been displaced anyway is worth nothing. A discount V stands for the rate beta V / (1 - V).
"""

from __future__ import annotations

import math

from ..shares import Share
from .fitting import Fitting
from .histories import Histories
from .liveness import Gaps
from .open_turns import OpenTurns, begin_turn
from .pairs import NOWHERE
from .rates import Rates, Waiting, coming_back, rates_of, waiting
from .reaching import believed, going, reach
from .runs import Runs
from .standing import Session, Standing
from .tables import Tables
from .transitions import Floats, Transitions
from .turnover import Turnover
from .turns import MOST_NOTED, Turns

MAX_AGENTS = 64
TICK_S = 0.01
"""Time is read in ticks of this size, so that what was computed for a tick is computed once."""
AT_ONCE_S = 0.5
"""An end that is told so soon after the last response was told by who knew, not by who waited."""


class ReuseModel:
    """Learns from dispatches, responses and ends of sessions; answers with rates. Time only comes in arguments."""

    def __init__(self) -> None:
        self.agents: dict[str, int] = {}
        self.standing = Standing()
        self.turnover = Turnover()
        self.dispatches = 0
        self.predicts = self.watches_ends = True
        self.transitions, self.turns, self.gaps = Transitions(), Turns(), Gaps()
        self.histories = Histories()
        self.runs = Runs()
        self.untold_ends = Share(1.0)
        self.hints_right = Share(1.0)
        self.tables: Tables | None = None
        self._fitting = Fitting()
        self._rates_at = -1.0
        self._waiting: Waiting | None = None
        self._rates: Rates | None = None

    # ---- agents ------------------------------------------------------------------------------------------------------

    def slot(self, agent: str) -> int:
        """The agent's slot; a new agent beyond MAX_AGENTS takes that of the one dispatched longest ago. Then the tables
        are of that one until they are fitted next: with many agents in turn they would be fitted at each dispatch."""
        if agent in self.agents:
            slot = self.agents.pop(agent)
        else:
            slot = self._free_slot()
            self._fitting.hasten()
            if slot == self.transitions.agents:
                self._grow(slot + 1)
        self.agents[agent] = slot
        return slot

    def _grow(self, agents: int) -> None:
        self.transitions.grow(agents)
        self.gaps.grow(agents)
        self.runs.grow()
        self._fitting.restart()

    def _free_slot(self) -> int:
        if len(self.agents) < MAX_AGENTS:
            return len(self.agents)
        slot = self.agents.pop(next(iter(self.agents)))
        if self.tables is not None:
            self.tables.all_changing()
        moved = self.standing.forget_agent(slot)
        for learned in (self.transitions, self.gaps, self.histories, self.runs):
            learned.forget(slot)
        for name, session in moved:
            self._stand(name, session)
        return slot

    # ---- learning ----------------------------------------------------------------------------------------------------

    def dispatched(self, name: str, agent: str, missed_tokens: int, now_s: float) -> Session:
        """A request of a session reached its prefill. Returns the session, already moved on to the agent."""
        self.turnover.pass_time(now_s)
        self.turnover.missed(missed_tokens)
        slot = self.slot(agent)
        self.dispatches += 1
        if (session := self.standing.touch(name)) is not None:
            self._learn_turn(session, ended=False)
        elif (session := self._back(name)) is not None:
            session.running = 0
        if session is None:
            session = self._begin(name, slot, now_s)
        else:
            self._move(name, session, slot, now_s)
        begin_turn(session, self.transitions, self.turns)
        if self._fitting.is_due(self.dispatches):
            self._fit(now_s)
        else:
            self._stand(name, session)
        return session

    def _begin(self, name: str, slot: int, now_s: float) -> Session:
        session = self.standing.begin(name, slot, now_s)
        self.histories.lengths.forget_place(session.place)
        self.transitions.started(slot)
        self.turnover.session_began()
        return session

    def _back(self, name: str) -> Session | None:
        """Make room for a session, which may be one that was taken for ended."""
        past = self.standing.past(name)
        if (idle := self.standing.most_idle()) is not None:
            self._close(idle)
        if past is not None:
            self.standing.reopen(name, past)
            past.seen_of_turn = self.turns.seen(past)  # its turn is no longer one that closes
            self.histories.lengths.forget_place(past.place)
            self._changing(past.agent)
            self.transitions.not_ended(past.finish, past.agent, past.seen_of_agent)
        return past

    def _move(self, name: str, session: Session, slot: int, now_s: float) -> None:
        if session.running and (ran_s := self.runs.lost(session.agent, now_s - session.since_s)) is not None:
            session.running, session.since_s = 0, session.since_s + ran_s
        if not session.running:  # else there was no pause, or the end of a run was never told
            self.gaps.came_back(session.finish, session.agent, max(0.0, now_s - session.since_s))
        self.standing.behind.pop(name, None)
        if self.tables is not None:
            self.tables.about_to_move(session, slot)
        self.transitions.moved(
            session.finish, session.came_from, session.agent, slot,
            returned=session.returned, team=session.team, since=session.seen_of_agent,
        )  # fmt: skip
        if session.hinted != NOWHERE:
            self.settle()
            self.hints_right.see(float(session.hinted == slot))
        session.go_on(slot, now_s)

    def _learn_turn(self, session: Session, *, ended: bool) -> None:
        if self.tables is not None:
            by_agent = session.agent < self.tables.agents and not session.closes
            leaving = self.tables.leaving(session.agent) if by_agent else None
            self.turns.note(leaving, session, ended=ended)
            if self.turns.noted >= MOST_NOTED:
                self.turns.learn(self.tables, self.standing)

    def responded(self, name: str, now_s: float) -> None:
        """A response of the session is complete."""
        session = self._back(name) if self.standing.ran(name) else self.standing.by_name.get(name)
        if session is None or not session.running:
            return
        self.turnover.pass_time(now_s)
        session.running -= 1
        if not session.running:
            self.runs.took(session.agent, max(0.0, now_s - session.since_s))
            session.since_s = now_s
        self._stand(name, session)  # also while it runs: it may have been taken for ended until now

    def finished_with(self, name: str, agent: str, finish: int, *, closes: bool = False) -> None:
        """How the last response of the session finished, if the session has not moved on meanwhile."""
        session = self.standing.by_name.get(name)
        if session is None or self.agents.get(agent) != session.agent:
            return
        if (session.finish, session.closes) != (finish, closes):
            session.finish, session.closes = finish, closes
            begin_turn(session, self.transitions, self.turns)
            self._stand(name, session)

    def ended(self, name: str, told: bool, now_s: float) -> None:
        """The session is over; `told`: somebody said so, rather than gave it up."""
        session, past = self.standing.drop(name), self.standing.past(name)
        if (known := session or past) is None:
            return
        if told and (session is None or not session.running):
            self.untold_ends.see(float(now_s - known.since_s > AT_ONCE_S))
            self._waiting = None
        if session is not None:
            self._rates = None
            self._learn_end(session)

    def _learn_end(self, session: Session) -> None:
        self._learn_turn(session, ended=True)
        self._changing(session.agent)
        self.transitions.ended(session.finish, session.agent, session.seen_of_agent)

    def hinted(self, name: str, agent: str) -> None:
        """Somebody said which agent the session dispatches next."""
        session, slot = self.standing.by_name.get(name), self.agents.get(agent)
        if session is not None and slot is not None:
            session.hinted = slot
            self._stand(name, session)

    # ---- tables, fitted every few dispatches -------------------------------------------------------------------------

    def refit(self) -> None:
        """Fit at the next dispatch: something that tables depend on was changed."""
        self._fitting.restart()

    def _fit(self, now_s: float) -> None:
        self._fitting.fitted(self.dispatches)
        self.standing.behind.clear()
        self._close_idle(now_s)
        self.gaps.fit()
        if self.tables is not None:
            self.tables.learn_moves()
            self.turns.learn(self.tables, self.standing)
            turns = OpenTurns(self.standing, self.tables, self.turns, self.hints_right.mean)
            turns.count(self.transitions, self.turns, self.gaps, self.untold_ends.mean, now_s)
        beta_per_s, chances = self.turnover.beta_per_s, self.turns.chances()
        self.tables = Tables(self.transitions, self.gaps, self.runs.typical_s, beta_per_s, self.predicts, chances)
        self.standing.void()
        self._rates = None

    def _close_idle(self, now_s: float) -> None:
        """Take sessions for ended that have been idle, or have run, far longer than sessions are and requests do."""
        idle_s = max(5.0, 2.0 * self.gaps.longest_s())
        for name in self.standing.since_before(now_s - idle_s, now_s - self.runs.limit_s):
            self._close(name)

    def _close(self, name: str) -> None:
        self.untold_ends.see(1.0)
        self._learn_end(self.standing.close(name))

    # ---- where sessions stand, written when it is asked for ----------------------------------------------------------

    def _stand(self, name: str, session: Session) -> None:
        """The session stands elsewhere: its columns are written when rates are asked for."""
        self._rates = None
        if self.tables is not None and session.agent < self.tables.agents:
            behind = self.standing.behind
            behind.pop(name, None)
            behind[name] = self.tables.stood(session, self.turns.noted)

    def settle(self) -> None:
        """Put where sessions stand into the columns that rates are made of."""
        if (tables := self.tables) is None:
            return
        standing = self.standing
        self.turns.learn(tables, standing)
        moved = [(standing.by_name[name], stood) for name, stood in standing.behind.items()]
        moved += tables.unmoved(standing)
        standing.behind.clear()
        standing.open(tables.agents)
        if not moved:
            return
        tables.prepare(stood[0] for _, stood in moved)
        right = self.hints_right.mean
        going_on = [going(tables, session, stood, right) for session, stood in moved]
        for (session, stood), discounts in zip(moved, reach(tables, going_on), strict=True):
            p_end = self.turns.end(session, stood[2], tables.end(session, stood), right) if self.watches_ends else 0.0
            standing.write(session, p_end, discounts)
        tables.forget()

    def catch_up(self) -> None:
        """Nobody waits: work out the latest fit now, if somebody will likely ask for it."""
        if self._fitting.in_demand and self.tables is not None and self.tables.is_new:
            self.settle()

    def _changing(self, agent: int) -> None:
        """What is counted of an agent is about to change."""
        if self.tables is not None:
            self.tables.changing(agent)

    def next_agents(self, session: Session) -> Floats:
        """Which agent is next, if the session goes on; sums to 1."""
        assert self.tables is not None
        onward, _ = self.tables.onward(session, self.tables.stood(session))
        onward = believed(session, onward, self.hints_right.mean)
        return onward / max(1e-9, float(onward.sum()))

    # ---- rates at an instant -----------------------------------------------------------------------------------------

    def rates(self, now_s: float) -> Rates | None:
        """The rates at an instant, None as long as nothing was dispatched. Computed at most once per tick and event."""
        tick_s = math.floor(now_s / TICK_S) * TICK_S
        if self._rates is None or tick_s != self._rates_at:
            self._fitting.asked()
            if self._rates is None and self.tables is not None:  # more than time has passed
                self._waiting = None
                self.tables.widen()
                self.settle()
            self._rates = None if self.tables is None else self._rates_now(self.tables, tick_s)
            self._rates_at = tick_s
        return self._rates

    def _rates_now(self, tables: Tables, now_s: float) -> Rates:
        here, beta_per_s = self.standing, tables.beta_per_s
        if self._waiting is None:
            self._waiting = waiting(here, self.gaps, self.runs.typical_s, self.untold_ends.mean, beta_per_s)
        alive, rest = coming_back(self._waiting, here.since_s, beta_per_s, now_s, watches_ends=self.watches_ends)
        return rates_of(alive, rest, here.reach, beta_per_s, self.turnover.sessions_per_s * tables.start)
