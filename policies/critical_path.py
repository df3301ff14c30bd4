"""What a whole task waits for goes first: of those who wait, the session that was served least (Autellix, 2502.13965).

A session is the program of that paper: an agent's step is short, but a task is over when its last step is, so the order
goes by what its session was served so far, in tokens computed and written. Sessions sink through a few levels as they
are served more, each some times wider than the one above: short tasks do not wait behind long ones, whose lengths
nobody has to know. Within a level the session that began first goes first, so that equal ones end one after the other
and not all at last. Who has waited for `patience_s` goes before everybody. Long tasks pay for it: they end later.

It has two means. At the door it holds what exceeds `ahead` requests that the engine has not begun, and says the order.
If SGLang runs with its priority scheduling, each request carries its level as a priority too, which orders SGLang's own
queue. The levels lie closer than SGLang's threshold for preemption (10), so none pushes another out of a running batch.
SGLang's queue knows no patience: while somebody is stuck in it for that long, newcomers get no higher priority.
"""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from .bounded import Bounded
from .door.unbegun import Unbegun
from .doorkeeping import Asked, BaseDoorkeeper, Came, DoorFact, Entered, Left, Matched, Verdict
from .events import EngineEvent, EngineStarted, EventsDropped
from .parameters import Tunable
from .primitives import BasePolicy

MAX_SESSIONS = 16_384
MAX_REQUESTS = 8_192
MOST_LEVELS = 9
"""Fewer than SGLang's threshold for preemption, which is a difference of more than 10."""
AGED = 0.0
"""Sorts before every level."""
USUAL_REQUESTS = 2.0
FADE = 1 / 64
"""Per request that is over: how much it counts for what is usual."""
ALONE = tuple(Verdict(priority=priority) for priority in range(MOST_LEVELS + 1))
"""For who waits with nobody: no order is needed."""


class _Session(msgspec.Struct):
    """`served`: tokens computed and written for it; `began_s`: when its first request came."""

    began_s: float
    served: float = 0.0


class CriticalPath(BaseDoorkeeper, BasePolicy):
    """Orders sessions by the level that what they were served has brought them to."""

    name: ClassVar[str] = "critical_path"
    doc: ClassVar[str] = (
        "When requests queue, the session that was served least goes first, so that short tasks end soon."
    )
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("ahead", 4.0, 1.0, 4096.0, "requests", "Let in and not begun by the engine before anybody waits"),
        Tunable("quantum", 0.0, 0.0, 1e7, "tokens", "Width of the first level; 0: two requests of usual size"),
        Tunable("growth", 2.0, 1.1, 100.0, "", "Each level is so many times as wide as the one above"),
        Tunable("levels", 7.0, 2.0, float(MOST_LEVELS), "", "Number of levels"),
        Tunable("patience_s", 30.0, 0.1, 600.0, "s", "Who has waited so long goes before everybody"),
        Tunable("longest_hold_s", 120.0, 1.0, 3600.0, "s", "After this a caller is told to come again"),
    )
    orders_sessions: ClassVar[bool] = True
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Came, Entered, Matched, Left)
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (EventsDropped, EngineStarted)

    def __init__(self) -> None:
        super().__init__()
        self._line = Unbegun()
        self._sessions: Bounded[str, _Session] = Bounded(MAX_SESSIONS)
        self._prompts: Bounded[str, int] = Bounded(MAX_REQUESTS)
        self._priorities: dict[str, int] = {}
        self._usual = 0.0

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        line = self._line
        if held := line.full(int(self.tunables["ahead"]), "the session that was served least goes first"):
            return held
        level, priority, aged = self._standing(asked, now_s)
        if line.waiting < 2:
            return ALONE[priority]
        came_s = line.came_s(asked.rid, now_s)
        if aged:
            return Verdict(order=(AGED, came_s), priority=priority)
        known = self._sessions.get(asked.session)
        return Verdict(order=(1.0 + level, known.began_s if known else came_s), priority=priority)

    def notice(self, fact: DoorFact) -> None:
        asked = fact.asked
        if isinstance(fact, Entered):
            self._priorities[asked.rid] = self._standing(asked, fact.t_s)[1]
        self._line.notice(fact)
        match fact:
            case Came():
                if asked.session not in self._sessions:
                    self._sessions.put(asked.session, _Session(began_s=fact.t_s))
            case Matched():
                self._priorities.pop(asked.rid, None)
                self._charge_prompt(asked, fact.prompt_tokens - fact.cached_tokens)
            case Left():
                self._left(fact)
            case _:
                pass

    def observe(self, event: EngineEvent) -> None:
        self._line.observe(event)

    def _standing(self, asked: Asked, now_s: float) -> tuple[int, int, bool]:
        """The level of a request's session, its priority for SGLang, and whether it has waited for too long."""
        levels, patience_s = int(self.tunables["levels"]), self.tunables["patience_s"]
        level = self._level(asked.session, levels)
        aged = now_s - self._line.came_s(asked.rid, now_s) >= patience_s
        priority = levels if aged else levels - level
        oldest = self._line.oldest()
        if oldest is not None and now_s - oldest[1] >= patience_s:
            priority = min(priority, self._priorities.get(oldest[0], priority))
        return level, priority, aged

    def _level(self, session: str, levels: int) -> int:
        """0 for those who were served least."""
        known = self._sessions.get(session) if session else None
        if known is None:
            return 0
        level, width = 0, self.tunables["quantum"] or USUAL_REQUESTS * self._usual or math.inf
        while level < levels - 1 and known.served >= width:
            level, width = level + 1, width * self.tunables["growth"]
        return level

    def _left(self, fact: Left) -> None:
        self._priorities.pop(fact.asked.rid, None)
        if fact.entered:
            if fact.asked.rid not in self._prompts:
                self._charge_prompt(fact.asked, fact.prompt_tokens)
            self._charge(fact.asked, fact.output_tokens)
            served = (self._prompts.get(fact.asked.rid) or 0) + fact.output_tokens
            self._usual += (served - self._usual) * (FADE if self._usual else 1.0)

    def _charge_prompt(self, asked: Asked, computed: int) -> None:
        """Charge what was computed of a prompt, or correct what was charged for it before."""
        self._charge(asked, computed - (self._prompts.get(asked.rid) or 0))
        self._prompts.put(asked.rid, computed)

    def _charge(self, asked: Asked, tokens: int) -> None:
        if (known := self._sessions.get(asked.session)) is not None:
            known.served += tokens
