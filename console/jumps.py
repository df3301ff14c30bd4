"""Where in a recording the next thing worth looking at is: by kind of event, or an eviction that hurt, which only the
folded state knows. No screens."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from radixdeck.policies.events import CommandReceived
from radixdeck.policies.residency import fold
from radixdeck.storage.errors import SessionError
from radixdeck.storage.session import Numbered, Session

Sort = Literal["eviction that hurt", "policy change", "operator action", "fault", "bookmark"]
SORTS: tuple[Sort, ...] = ("eviction that hurt", "policy change", "operator action", "fault", "bookmark")
KINDS: dict[Sort, tuple[str, ...]] = {
    "policy change": ("policy_switched", "tunable_changed"),
    "operator action": ("command_received",),
    "fault": ("engine_lost", "policy_failed", "events_dropped", "request_refused"),
}
SIGNS: dict[Sort, str] = {"policy change": "~", "operator action": "*", "fault": "!", "bookmark": "b"}
MARKS = 400
"""So many of each kind are shown on the strip, the first ones: what happens often hides nothing that is rare."""
NEAR = 5_000
"""Events that are folded one by one once they are few."""


def next_of(session: Session, sort: Sort, seq: int, *, backwards: bool = False) -> int | None:
    """Number of the next event of a sort after event `seq`, or before it; None if there is none."""
    if sort == "eviction that hurt":
        return _hurt_before(session, seq) if backwards else _hurt_after(session, seq)
    return session.next_of(seq, KINDS.get(sort, ()), backwards)


def moment_before(session: Session, sort: Sort, seq: int) -> int | None:
    """The one before all that arrived with event `seq`: to go to any of these would lead there again."""
    return next_of(session, sort, session.seq_at(session.arrived_ns(seq) - 1) + 1, backwards=True)


def marks(session: Session) -> list[tuple[int, str]]:
    """(time, sign) of policy changes, operator's actions and faults; without a sort of which one is damaged."""
    found: list[tuple[int, str]] = []
    for sort, kinds in KINDS.items():
        for kind in kinds:
            with suppress(SessionError):
                for _, event in session.events(session.first_seq - 1, MARKS, (kind,)):
                    if not (isinstance(event, CommandReceived) and event.name == "watch"):
                        found.append((event.t_ns, SIGNS[sort]))
    return sorted(found)


def _hurts(session: Session, seq: int) -> int:
    return session.state_after(seq).totals.evictions_that_hurt


def _hurt_after(session: Session, seq: int) -> int | None:
    here = _hurts(session, seq)
    if _hurts(session, session.last_seq) <= here:
        return None
    return _first_above(session, here, seq, session.last_seq)


def _hurt_before(session: Session, seq: int) -> int | None:
    """The event at which the count became what it was before `seq`."""
    if seq <= session.first_seq:
        return None
    before = _hurts(session, seq - 1)
    # A file that goes on with a run begins with the count so far.
    if before <= _hurts(session, session.first_seq - 1):
        return None
    return _first_above(session, before - 1, session.first_seq - 1, seq - 1)


def _first_above(session: Session, count: int, low: int, high: int) -> int:
    """The first event after which more than `count` evictions have hurt: after `low`, where it is not so, and up to
    `high`, where it is. The count never falls, so it is found by halving, first among the keyframes."""
    low, high = _between_keyframes(session, count, low, high)
    while high - low > NEAR:
        middle = (low + high) // 2
        if _hurts(session, middle) > count:
            high = middle
        else:
            low = middle
    state = session.state_after(low)
    for number, event in session.events(low, high - low):
        fold(state, event)
        if state.totals.evictions_that_hurt > count:
            return number
    return high


def _between_keyframes(session: Session, count: int, low: int, high: int) -> tuple[int, int]:
    """`low` and `high` of `_first_above`, as near to each other as two keyframes that can be read."""
    frames = session.keyframes(low, high)
    first, end = 0, len(frames)
    while first < end:
        middle = (first + end) // 2
        totals = session.totals_at(frames[middle])
        if totals is None:
            del frames[middle]
            end -= 1
        elif totals.evictions_that_hurt > count:
            high, end = frames[middle], middle
        else:
            low, first = frames[middle], middle + 1
    return low, high


def next_known(session: Session, seq: int) -> tuple[int, list[Numbered]]:
    """The first event after `seq` that can be read, past damaged places and kinds that this version does not know, and
    the number up to which that goes; no event if there is none near."""
    for _ in range(NEAR):
        number = session.next_readable(seq)
        if number is None:
            return max(seq, session.last_seq), []
        if found := session.events(number - 1, 1)[:1]:
            return found[0][0], found
        seq = number
    return seq, []
