"""The sessions that take turns in the cache, what they take of it now, and what they are expected to take."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator

import msgspec

from ..bounded import Bounded

MAX_AGENTS = 1_024
FINAL_GAIN = 1 / 8
MOST_STALE = 64
"""Entries on the list of those that fall silent, beyond two of each session, before it is cleared of old ones."""
Rank = tuple[float, int]


class Session(msgspec.Struct, eq=False):
    """`agent`: who asked first. `paths`: tokens that each of its agents' last request held, without the anchor;
    `prompts`: of those that had an answer, the part before it. `waiting`, `under_way`: its requests at the door and in
    the engine. `rank`: its place among those who wait, lowest first; `since_s`: when it began to wait. `stayed`: it has
    had its place since its last answer. `silent_s`: when it has been silent for too long. `reserved`, `counted`: what
    the working set has it down for."""

    name: str
    agent: str
    rank: Rank
    since_s: float = 0.0
    paths: dict[str, int] = {}
    prompts: dict[str, int] = {}
    waiting: set[str] = set()
    under_way: set[str] = set()
    last_agent: str = ""
    last_s: float | None = None
    silent_s: float = 0.0
    reserved: float = 0.0
    counted: int = 0
    placed: bool = False
    stayed: bool = False
    pushed_out: bool = False
    ended: bool = False

    @property
    def tokens(self) -> int:
        return sum(self.paths.values())

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.under_way


class WorkingSet:
    """`tokens`: what the sessions that are in take now, anchors included; `reserved`: with the growth to come for which
    room is kept."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self._counted = 0
        self._reserved = 0.0
        self._anchors: Bounded[str, int] = Bounded(MAX_AGENTS)
        self._anchored: dict[str, int] = {}
        self._anchor_tokens = 0
        self._users: Counter[str] = Counter()
        self._finals: Bounded[str, float] = Bounded(MAX_AGENTS)
        self._final: float | None = None
        self._largest = 0
        self._silent: list[tuple[float, int, Session]] = []
        self._pushes = 0

    @property
    def tokens(self) -> float:
        return self._counted + self._anchor_tokens

    @property
    def reserved(self) -> float:
        return self._reserved + self._anchor_tokens

    def anchor(self, agent: str) -> int:
        """Tokens of an agent's anchor, 0 while they are not known."""
        return self._anchors.get(agent) or 0

    def anchored(self, agent: str, tokens: int) -> None:
        """An agent's anchor is known."""
        if tokens > 0:
            self._anchors.put(agent, tokens)
            if agent in self._users:
                self._count_anchor(agent, tokens)

    def expected(self, agent: str) -> float:
        """What a session that `agent` opens takes in the end."""
        return self._finals.get(agent) or self._final or self._largest

    def need(self, session: Session, about_tokens: int, foresight: float) -> float:
        """Room that a session needs that is not in: `about_tokens` is its next prompt, with the agent's anchor."""
        anchor = self.anchor(session.agent)
        now = session.tokens or max(0, about_tokens - anchor)
        return self._with_growth(session, now, foresight) + (0 if self._users[session.agent] else anchor)

    def put(self, session: Session, foresight: float) -> None:
        """It has a place from now on."""
        session.placed, session.pushed_out = True, False
        self.sessions[session.name] = session
        session.counted, session.reserved = 0, 0.0
        for agent in session.paths:
            self._use(agent)
        self.count(session, foresight)

    def drop(self, session: Session) -> None:
        """It has none any more."""
        session.placed = session.stayed = False
        del self.sessions[session.name]
        self._counted -= session.counted
        self._reserved -= session.reserved
        for agent in session.paths:
            self._users[agent] -= 1
            if not self._users[agent]:
                del self._users[agent]
                self._count_anchor(agent, 0)
        if not self.sessions:
            self._reserved = 0.0  # nothing is left of what rounding left

    def take(self, session: Session, agent: str, tokens: int, foresight: float) -> None:
        """The last request of `agent` in this session held so many tokens, the anchor included."""
        if session.placed and agent not in session.paths:
            self._use(agent)
        session.paths[agent] = max(0, tokens - self.anchor(agent))
        self._largest = max(self._largest, session.tokens)
        if session.placed:
            self.count(session, foresight)

    def count(self, session: Session, foresight: float) -> None:
        """Count anew what a session takes."""
        self._counted -= session.counted
        self._reserved -= session.reserved
        session.counted = session.tokens
        session.reserved = self._with_growth(session, session.counted, foresight)
        self._counted += session.counted
        self._reserved += session.reserved

    def _use(self, agent: str) -> None:
        self._users[agent] += 1
        self._count_anchor(agent, self.anchor(agent))

    def _count_anchor(self, agent: str, tokens: int) -> None:
        """An anchor counts once, while any session that is in has the agent."""
        self._anchor_tokens += tokens - self._anchored.pop(agent, 0)
        if tokens:
            self._anchored[agent] = tokens

    def _with_growth(self, session: Session, tokens: float, foresight: float) -> float:
        return tokens + foresight * max(0.0, self.expected(session.agent) - tokens)

    def over(self, session: Session) -> None:
        """It is over, so far as anybody knows: what it took in the end is what others like it will."""
        final = float(session.tokens)
        before = self._finals.get(session.agent)
        self._finals.put(session.agent, final if before is None else before + FINAL_GAIN * (final - before))
        self._final = final if self._final is None else self._final + FINAL_GAIN * (final - self._final)

    # ---- silence -----------------------------------------------------------------------------------------------------

    def silent_from(self, session: Session, at_s: float) -> None:
        """An idle session has lost its place at `at_s`, if it is still idle then."""
        session.silent_s, session.stayed = at_s, True
        self._pushes += 1
        heapq.heappush(self._silent, (at_s, self._pushes, session))
        if len(self._silent) > MOST_STALE + 2 * len(self.sessions):
            self._silent = [entry for entry in self._silent if _counts(entry)]
            heapq.heapify(self._silent)

    def fallen_silent(self, now_s: float) -> Iterator[Session]:
        """Those that have been silent for too long, each once."""
        while self._silent and (self._silent[0][0] <= now_s or not _counts(self._silent[0])):
            entry = heapq.heappop(self._silent)
            if _counts(entry):
                yield entry[2]

    def silent_reserved(self, now_s: float) -> float:
        """Room of those that have been silent for too long and still have it, because nothing has happened since."""
        if not self._silent or self._silent[0][0] > now_s:
            return 0.0
        return sum(entry[2].reserved for entry in self._silent if entry[0] <= now_s and _counts(entry))

    def next_silent_s(self, now_s: float) -> float | None:
        """When the next place is free if nobody says anything."""
        if self._silent and self._silent[0][0] > now_s and _counts(self._silent[0]):
            return self._silent[0][0]
        return min((entry[0] for entry in self._silent if entry[0] > now_s and _counts(entry)), default=None)


def _counts(entry: tuple[float, int, Session]) -> bool:
    """Whether the session is still as it was when it was put on the list."""
    at_s, _, session = entry
    return session.placed and session.idle and session.silent_s == at_s
