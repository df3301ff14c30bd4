"""Whole sessions wait at the door while those that are in fill the cache (after ThunderAgent, arXiv 2602.13692).

When more sessions take turns than the KV cache has room for, each finds its history evicted when it comes back, and
the engine computes nearly all of it again. So a session is let in when what it is expected to take in the end fits
beside what those take that are in, or when the engine would have nothing to do; and once it is in, its requests pass.
Of those that fit, who waits longest goes next, unless another policy has an order for them: none is kept back for one
that is larger, or that somebody else holds. What room there is, is learned: it grows while sessions find again what
they left, and shrinks when they do not, where their prompts go on from there at all. A session gives up its place when
it ends, or is silent for longer than is usual after a request of that agent. If those that are in outgrow the room, the
youngest of them that pause wait at the door when they come back, ahead of the others.

What a session takes is what its agents' last requests held, prompt and output, without the anchors, which sessions
share and which count once. (ThunderAgent looks at its engines' memory every few seconds and pauses the shortest
sessions first; here the door counts for itself, with each request.)

It costs the first request of a session its wait, `longest_wait_s` at most: then it is let in all the same, as is one
that is too large to fit while smaller ones keep coming. Where sessions come faster than they are over for that long,
the cache thrashes as it would without this policy.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from .bounded import Bounded
from .door.returns import Returns
from .door.working_set import Session, WorkingSet
from .doorkeeping import PASS, Asked, BaseDoorkeeper, Came, DoorFact, Entered, Left, Matched, Verdict
from .events import CacheFlushed, EngineEvent, EngineStarted, SessionEnded
from .parameters import Tunable
from .primitives import BasePolicy

MAX_AGENTS = 1_024
MAX_REMEMBERED = 4_096
"""Sessions without a place that are remembered, so that their return teaches how long pauses are."""
TOO_FULL = 1.5
"""Share of the room beyond which sessions that are in are asked to wait after all."""
GROWTH, SHRINKING = 0.01, 0.8
LEAST_SHARE, MOST_SHARE = 0.5, 3.0
NEARLY_ALL = 0.9
"""The room grows by so much with each session that finds nearly all of what it left, and shrinks to so much of itself
with each that does not, as TCP does with its window: what fits depends on what else goes on in the cache."""
AFTER_RETURNING = Verdict(order=(1.0,))
"""For who comes anew while sessions wait that had to give up their place. An empty order sorts before it."""


class _Line(msgspec.Struct, frozen=True):
    """What holds for all in the line, until anything changes. `least`: none of them needs less room; `why`: they wait.
    `room`, `foresight`: for which it was worked out."""

    room: float
    foresight: float
    least: float
    why: str


class Admission(BaseDoorkeeper, BasePolicy):
    """Lets in whole sessions, as many as there is room for. `share`: how much of the room at first there is now."""

    name: ClassVar[str] = "admission"
    doc: ClassVar[str] = "Whole sessions wait at the door while those that are in fill the cache."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("kv_tokens", 0.0, 0.0, 1e9, "tokens", "Size of the cache; 0: as the engine says"),
        Tunable("fill", 0.6, 0.1, 10.0, "", "Share of the cache that sessions may fill at first"),
        Tunable("foresight", 1.0, 0.0, 1.0, "", "Share of the growth to come for which room is kept"),
        Tunable("busy", 1.0, 0.0, 4096.0, "requests", "While fewer are under way the next comes in, room or not"),
        Tunable("pause_s", 30.0, 0.0, 3600.0, "s", "A session that is silent for this long has lost its place"),
        Tunable("longest_wait_s", 60.0, 0.0, 110.0, "s", "After this a session is let in, whatever that costs"),
    )

    orders_sessions: ClassVar[bool] = True
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Came, Entered, Matched, Left)
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (EngineStarted, CacheFlushed, SessionEnded)

    def __init__(self) -> None:
        super().__init__()
        self.inside = WorkingSet()
        self.returns = Returns()
        self.capacity_tokens = 0
        self.share = 1.0
        self._line: dict[str, Session] = {}
        self._returning: set[str] = set()
        self._line_now: _Line | None = None
        self._going_on: Bounded[str, bool] = Bounded(MAX_AGENTS)
        self._gone: Bounded[str, Session] = Bounded(MAX_REMEMBERED)
        self._came = 0
        self._under_way: set[str] = set()

    @property
    def room_tokens(self) -> float:
        """What sessions may fill as things are; 0 while nobody knows."""
        return self.tunables["fill"] * self.share * (self.tunables["kv_tokens"] or self.capacity_tokens)

    def observe(self, event: EngineEvent) -> None:
        self._line_now = None
        match event:
            case EngineStarted():
                # Sessions are counted on whichever replica they are, so the room is that of all.
                self.capacity_tokens = event.capacity_tokens * max(1, event.replicas)
                self._nothing_stayed()
            case CacheFlushed(told_anew=False):
                self._nothing_stayed()
            case SessionEnded() if (session := self.inside.sessions.get(event.session)) is not None:
                session.ended = True
                self._settle(session)
            case _:
                pass

    def _nothing_stayed(self) -> None:
        """The cache is empty, whoever comes back."""
        for session in self.inside.sessions.values():
            session.stayed = False

    # ---- at the door -------------------------------------------------------------------------------------------------

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        session = self._line.get(asked.session)
        if session is None:
            return PASS
        until_s = session.since_s + self.tunables["longest_wait_s"]
        if now_s >= until_s:
            return PASS
        room = self.room_tokens
        if not room or not self.inside.sessions or len(self._under_way) < self.tunables["busy"]:
            return self._in_turn(session)
        free = room - self.inside.reserved + self.inside.silent_reserved(now_s)
        if self.inside.need(session, asked.about_tokens, self._foresight) <= free:
            return self._in_turn(session)
        line = self._in_line(room)
        until_s = min(until_s, self.inside.next_silent_s(now_s) or until_s)
        return Verdict(kind="hold", why=line.why, until_s=until_s, alike=line.least > free)

    def _in_turn(self, session: Session) -> Verdict:
        return AFTER_RETURNING if self._returning and not session.pushed_out else PASS

    def _in_line(self, room: float) -> _Line:
        line, foresight = self._line_now, self._foresight
        if line is None or (line.room, line.foresight) != (room, foresight):
            agents = {session.agent for session in self._line.values()}
            least = foresight * min(self.inside.expected(agent) for agent in agents)
            sessions, tokens = len(self.inside.sessions), self.inside.reserved
            why = f"{sessions} sessions that are in need {tokens:,.0f} of {room:,.0f} tokens, {len(self._line)} wait"
            line = self._line_now = _Line(room, foresight, least, why)
        return line

    @property
    def _foresight(self) -> float:
        return self.tunables["foresight"]

    # ---- what became of requests -------------------------------------------------------------------------------------

    def notice(self, fact: DoorFact) -> None:
        self._line_now = None
        if isinstance(fact, Entered):
            self._under_way.add(fact.asked.rid)
        elif isinstance(fact, Left):
            self._under_way.discard(fact.asked.rid)
        if not fact.asked.session:
            return  # nobody knows what it belongs to, so it takes no place
        match fact:
            case Came():
                self._arrive(self._session(fact), fact)
            case Entered():
                self._enter(self._session(fact), fact.asked)
            case Matched():
                self._match(fact)
            case Left():
                self._leave(fact)
                for session in self.inside.fallen_silent(fact.t_s):
                    self.returns.stayed_away(session.last_agent)
                    self._put_out(session)
                self._make_room()
            case _:
                pass

    def _session(self, fact: DoorFact) -> Session:
        """The session of a request; one that was not known or has lost its place comes anew."""
        name = fact.asked.session
        session = self.inside.sessions.get(name) or self._line.get(name)
        if session is None:
            self._came += 1
            rank = (fact.t_s, self._came)
            session = self._gone.pop(name)
            if session is None or session.ended:
                session = Session(name=name, agent=fact.asked.agent, rank=rank)
            elif not session.pushed_out:
                session.rank = rank
        return session

    def _arrive(self, session: Session, fact: Came) -> None:
        if session.idle and session.last_s is not None:
            self.returns.came_back(session.last_agent, fact.t_s - session.last_s)
        session.waiting.add(fact.asked.rid)
        if not session.placed and session.name not in self._line:
            session.since_s = fact.t_s
            self._line[session.name] = session
            if session.pushed_out:
                self._returning.add(session.name)

    def _enter(self, session: Session, asked: Asked) -> None:
        session.waiting.discard(asked.rid)
        session.under_way.add(asked.rid)
        if not session.placed:
            self._out_of_line(session)
            self.inside.put(session, self._foresight)
        if asked.agent not in session.paths:
            self.inside.take(session, asked.agent, asked.about_tokens, self._foresight)

    def _match(self, fact: Matched) -> None:
        asked = fact.asked
        self.inside.anchored(asked.agent, fact.anchor_tokens)
        session = self.inside.sessions.get(asked.session)
        if session is not None and asked.rid in session.under_way:
            self._adapt(session, fact)
            self.inside.take(session, asked.agent, fact.prompt_tokens, self._foresight)

    def _adapt(self, session: Session, fact: Matched) -> None:
        """More room for all while sessions that kept their place find what they left, less when they do not."""
        agent = fact.asked.agent
        left, anchor = session.prompts.get(agent, 0), self.inside.anchor(agent)
        if not left or not session.stayed:
            return
        found = fact.cached_tokens - anchor >= NEARLY_ALL * left
        if found or fact.base_tokens - anchor >= NEARLY_ALL * left:
            self._going_on.put(agent, True)
        elif self._going_on.get(agent) is None or fact.prompt_tokens - anchor < left:
            return  # this agent is given something else each time, and misses nothing
        share = self.share + GROWTH if found else self.share * SHRINKING
        self.share = min(MOST_SHARE, max(LEAST_SHARE, share))

    def _leave(self, fact: Left) -> None:
        asked = fact.asked
        session = self.inside.sessions.get(asked.session) or self._line.get(asked.session)
        if session is None or asked.rid not in session.under_way | session.waiting:
            return  # it came before this policy was on
        session.waiting.discard(asked.rid)
        session.under_way.discard(asked.rid)
        if fact.entered:
            session.last_agent, session.last_s = asked.agent, fact.t_s
            if fact.prompt_tokens:
                tokens = fact.prompt_tokens + fact.output_tokens
                self.inside.take(session, asked.agent, tokens, self._foresight)
                session.prompts[asked.agent] = max(0, session.paths[asked.agent] - fact.output_tokens)
        self._settle(session)

    def _settle(self, session: Session) -> None:
        """A session that has nothing at the door or in the engine gives up its turn in the line, and its place if it is
        over; otherwise it keeps its place for a while."""
        if not session.idle:
            return
        if not session.placed:
            self._out_of_line(session)
            self._gone.put(session.name, session)
        elif session.ended:
            self._put_out(session)
        else:
            patience_s = self.returns.patience_s(session.last_agent, self.tunables["pause_s"])
            self.inside.silent_from(session, (session.last_s or 0.0) + patience_s)

    # ---- places ------------------------------------------------------------------------------------------------------

    def _out_of_line(self, session: Session) -> None:
        self._line.pop(session.name, None)
        self._returning.discard(session.name)

    def _put_out(self, session: Session) -> None:
        self.inside.drop(session)
        self.inside.over(session)
        self._gone.put(session.name, session)

    def _make_room(self) -> None:
        """Those that are in have outgrown the room: the youngest that pause will wait when they come back, at the head
        of the line."""
        room = self.room_tokens
        if not room or self.inside.tokens <= TOO_FULL * room:
            return
        pausing = [session for session in self.inside.sessions.values() if session.idle]
        for session in sorted(pausing, key=lambda session: session.rank, reverse=True):
            if self.inside.tokens <= room or len(self.inside.sessions) == 1:
                return
            self.inside.drop(session)
            session.pushed_out = True
            self._gone.put(session.name, session)
