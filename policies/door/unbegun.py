"""Requests that were let in and that the engine has not begun: its own queue, as the door sees it.

While that is short the door decides who goes next; beyond it, whoever came first does. It says nothing of how many the
engine runs at once, so keeping it short costs no throughput.
"""

from __future__ import annotations

from ..doorkeeping import Came, DoorFact, Entered, Left, Matched, Verdict
from ..events import EngineEvent, EngineStarted, EventsDropped

ENOUGH = 16
"""Requests served one after the other without a word of the engine before it is taken for one that says nothing. One
alone says little: its word may come late."""


class Unbegun:
    """`waiting`: how many stand at the door. An engine that never says which requests it has begun, because its cache
    is not watched, has none here, so that nobody waits for its word; nor has one of several data-parallel replicas, of
    which only the first says it. Nor are batches counted, of which it says so under other ids."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._at_door: dict[str, float] = {}
        self._heard = False
        self._without_a_word = 0
        self._replicas = 1

    def __len__(self) -> int:
        return len(self._since_s) if self._heard and not self.silent else 0

    @property
    def waiting(self) -> int:
        return len(self._at_door)

    @property
    def silent(self) -> bool:
        """Whether the engine serves and says nothing of it, or of a part of it only."""
        return self._replicas > 1 or self._without_a_word >= ENOUGH

    def came_s(self, rid: str, now_s: float) -> float:
        """When a request at the door came; now, if that was before anybody listened."""
        return self._at_door.get(rid, now_s)

    def oldest(self) -> tuple[str, float] | None:
        """The one that was let in longest ago, and when."""
        return next(iter(self._since_s.items()), None) if len(self) else None

    def full(self, ahead: int, order: str) -> Verdict | None:
        """What holds everybody while `ahead` of them are not begun; `order` says who goes next."""
        if len(self) < ahead:
            return None
        return Verdict(kind="hold", why=f"the engine has yet to begin {ahead} requests; {order}", everybody=True)

    def observe(self, event: EngineEvent) -> None:
        """Where the engine said something that nobody heard, any of them may have begun."""
        if isinstance(event, EventsDropped):
            self._since_s.clear()
        elif isinstance(event, EngineStarted):
            self._replicas = event.replicas

    def notice(self, fact: DoorFact) -> None:
        """Follow a fact of the door."""
        rid = fact.asked.rid
        match fact:
            case Came():
                self._at_door[rid] = fact.t_s
            case Entered():
                self._at_door.pop(rid, None)
                if not fact.asked.batch:
                    self._since_s[rid] = fact.t_s
            case Matched():
                self._heard, self._without_a_word = True, 0
                self._since_s.pop(rid, None)
            case Left():
                self._at_door.pop(rid, None)
                if self._since_s.pop(rid, None) is not None and fact.output_tokens:
                    self._without_a_word += 1
            case _:
                pass
