"""Where each live session stands, as objects by name and as columns by place, so that the rates of all sessions at an
instant are a few array operations."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from .distances import Walk
from .leaving import Stood
from .pairs import NOWHERE
from .team import without
from .transitions import ANSWER, Floats, Ints

MAX_SESSIONS = 1024
MAX_PAST = 128
"""Sessions taken for ended that are still known if they come back: as many may pause at once, or no pause longer than
those before is ever learned."""
GROWTH = 8


class Session(msgspec.Struct):
    """The agent dispatched last, how its response finished, since when the session is idle (or runs, if `running` > 0),
    the last other agent and whether it had come there from this one, how many dispatches it had, and the agent it was
    said to go to next. `place`: its column; `team`: the agents it has been at; `again`: it had been at this one before;
    `closes`: its last answer says that it is over; `seen_of_agent`, `seen_of_turn`: what had been counted when its turn
    began, see open_turns; `walk`: see distances."""

    agent: int
    since_s: float
    place: int
    came_from: int = NOWHERE
    finish: int = ANSWER
    running: int = 1
    turn: int = 0
    hinted: int = NOWHERE
    returned: bool = False
    team: int = 0
    again: bool = False
    closes: bool = False
    seen_of_agent: int = 0
    seen_of_turn: int = 0
    walk: Walk = Walk()

    def go_on(self, agent: int, now_s: float) -> None:
        """It dispatches an agent."""
        if self.agent != agent:
            self.returned = self.came_from == agent
            self.came_from = self.agent
            self.walk = self.walk.on(self.agent, agent)
        self.agent, self.since_s, self.finish, self.hinted, self.closes = agent, now_s, ANSWER, NOWHERE, False
        self.turn += 1
        self.again = bool(self.team >> agent & 1)
        self.team |= 1 << agent
        self.running += 1

    def forget(self, agent: int) -> bool:
        """An agent that it is not at is known no more. Returns whether that is news to it."""
        if agent not in (self.came_from, self.hinted) and not self.team >> agent & 1:
            return False
        self.team, self.walk = without(self.team, agent), self.walk.without(agent)
        if self.came_from == agent:
            self.came_from, self.returned = NOWHERE, False
        if self.hinted == agent:
            self.hinted = NOWHERE
        return True


class Standing:
    """`reach[place, agent]`: expected discount until the agent is dispatched, from the session's next dispatch on;
    `p_end[place]`: probability that there is none. A free place has p_end 1. `behind`: sessions whose columns are not
    up to date, with what they follow from, those that moved last at the end."""

    def __init__(self) -> None:
        self.by_name: dict[str, Session] = {}
        self.behind: dict[str, Stood] = {}
        self._past: dict[str, Session] = {}
        self._places = 0
        self._free: list[int] = []
        self._columns: Ints
        self.since_s: NDArray[np.float64]
        self.p_end: Floats
        self.reach: Floats
        self.void()

    @property
    def at(self) -> Ints:
        return self._columns[0]

    @property
    def finish(self) -> Ints:
        return self._columns[1]

    @property
    def running(self) -> Ints:
        """1 for sessions that run."""
        return self._columns[2]

    def begin(self, name: str, agent: int, now_s: float) -> Session:
        """A session joins; whoever calls has seen to it that there is room, see most_idle."""
        session = self.by_name[name] = Session(agent, now_s, self._free_place(), team=1 << agent)
        return session

    def most_idle(self) -> str | None:
        """The session longest without a dispatch, if there is no room for another one."""
        return next(iter(self.by_name)) if len(self.by_name) >= MAX_SESSIONS else None

    def since_before(self, idle_s: float, running_s: float) -> list[str]:
        """Sessions that have been idle, or have run, since before these times."""
        limits_s = idle_s, running_s
        return [name for name, one in self.by_name.items() if one.since_s < limits_s[one.running > 0]]

    def close(self, name: str) -> Session:
        """A live session is taken for ended; its place is free. Raises KeyError if it is not live."""
        session = self.by_name[name]
        self.drop(name)
        self._past[name] = session
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        return session

    def ran(self, name: str) -> bool:
        """Whether this is a session that was taken for ended while it ran."""
        return name in self._past and self._past[name].running > 0

    def past(self, name: str) -> Session | None:
        """What is known of a session that was taken for ended; only told once."""
        return self._past.pop(name, None)

    def reopen(self, name: str, past: Session) -> None:
        """It was not; there is room for it, see most_idle. Whether it runs is as it was."""
        past.place, past.hinted, past.closes = self._free_place(), NOWHERE, False
        self.by_name[name] = past

    def touch(self, name: str) -> Session | None:
        """The session, as the one dispatched last."""
        session = self.by_name.pop(name, None)
        if session is not None:
            self.by_name[name] = session
        return session

    def drop(self, name: str) -> Session | None:
        session = self.by_name.pop(name, None)
        if session is not None:
            self.behind.pop(name, None)
            if session.place < len(self.p_end):
                self.p_end[session.place] = 1.0
                self._columns[2, session.place] = 0
            self._free.append(session.place)
        return session

    def forget_agent(self, agent: int) -> list[tuple[str, Session]]:
        """A slot is taken over by another agent. Returns the live sessions that stand elsewhere by that."""
        for name in [name for name, session in self.by_name.items() if session.agent == agent]:
            self.drop(name)
        self._past = {name: past for name, past in self._past.items() if past.agent != agent}
        for past in self._past.values():
            past.forget(agent)
        return [(name, session) for name, session in self.by_name.items() if session.forget(agent)]

    def write(self, session: Session, p_end: float, reach: Floats) -> None:
        """Put a session's state into its columns."""
        place, columns = session.place, self._columns
        columns[0, place], columns[1, place], columns[2, place] = session.agent, session.finish, session.running > 0
        self.since_s[place] = session.since_s
        self.p_end[place], self.reach[place] = p_end, reach

    def void(self) -> None:
        """What the columns hold is worth nothing any more: they take no room until all are written again."""
        self._columns = np.zeros((3, 0), np.int16)
        self.since_s = np.zeros(0)
        self.p_end = np.zeros(0, np.float32)
        self.reach = np.zeros((0, 0), np.float16)

    def open(self, agents: int) -> None:
        """Make room for agents 0 ... agents - 1 in all places."""
        missing = self._places - len(self.since_s)
        if missing:
            self._columns = np.concatenate([self._columns, np.zeros((3, missing), np.int16)], axis=1)
            self.since_s = np.concatenate([self.since_s, np.zeros(missing)])
            self.p_end = np.concatenate([self.p_end, np.ones(missing, np.float32)])
            reach = self.reach.reshape(len(self.reach), agents)  # a void one has no agents either
            self.reach = np.concatenate([reach, np.zeros((missing, agents), np.float16)])

    def _free_place(self) -> int:
        if not self._free:
            old, self._places = self._places, self._places + GROWTH
            self._free += range(old + GROWTH - 1, old - 1, -1)
        return self._free.pop()
