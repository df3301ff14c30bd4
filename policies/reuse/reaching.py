"""The discount until a session dispatches each agent: by its likely next moves one by one, and from there on, as for
all others, by how sessions pass from agent to agent.

How they pass is a chain of agents alone; where a session goes from its agent is known better, by where it came from and
how lately it was at others. So it is followed to each agent that it likely goes to next, and what is known of it tells
where it goes from there: after its tool an agent answers whoever had asked it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .leaving import Stood
from .pairs import NOWHERE
from .standing import Session
from .transitions import Floats

if TYPE_CHECKING:
    from .tables import Tables

LIKELY = 0.2
"""Sessions are followed to agents to whom they go on more often than this, if they go on."""


class Going(NamedTuple):
    """A session, and the (discounted) probabilities of each agent to be next, `[agent]`, and of any, met or not."""

    session: Session
    onward: Floats
    goes_on: float


def going(tables: Tables, session: Session, stood: Stood, hints_right: float) -> Going:
    """`hints_right`: how often the agent is next that was said to be."""
    onward, goes_on = tables.onward(session, stood)
    return Going(session, believed(session, onward, hints_right), goes_on)


def believed(session: Session, onward: Floats, right: float) -> Floats:
    """What follows by experience, moved towards what was said, if that is right so often."""
    if session.hinted == NOWHERE:
        return onward
    total = float(onward.sum())
    onward = onward * (1.0 - right)
    onward[session.hinted] += right * total
    return onward


def reach(tables: Tables, sessions: Sequence[Going]) -> Floats:
    """Discount until each session dispatches each agent, `[session, agent]`, from its next dispatch on."""
    rest = np.array([one.onward for one in sessions])
    least = np.array([one.goes_on for one in sessions], rest.dtype) * LIKELY
    places, slots = np.nonzero((rest > least[:, None]) & tables.predicts)
    chances = rest[places, slots, None]
    rest[places, slots] = 0.0
    found = _pass_on(tables, sessions, rest)
    if len(places):
        moves = zip(places, slots, strict=True)
        there = _follow(tables, [_moved(sessions[int(place)].session, int(slot)) for place, slot in moves])
        then = _pass_on(tables, there, np.array([one.onward for one in there]))
        then[np.arange(len(slots)), slots] = 1.0
        np.add.at(found, places, chances * then)
    return found


def _moved(session: Session, slot: int) -> Session:
    """The session as it will be while that agent runs."""
    there = copy(session)
    there.running = 0
    there.go_on(slot, session.since_s)
    return there


def _follow(tables: Tables, sessions: Sequence[Session]) -> list[Going]:
    """From the dispatches that they are at to the next ones, by the counts of the fit: what is told must not depend on
    when it is asked for."""
    followed: list[Going] = []
    for session, stood in zip(sessions, tables.stood_at_fit(sessions), strict=True):
        left = tables.left_of(session, stood)
        onward, goes_on = tables.onward(session, stood)
        followed.append(Going(session, left * onward, left * goes_on))
    return followed


def _pass_on(tables: Tables, sessions: Sequence[Going], rest: Floats) -> Floats:
    """The same, as far as they go on as `rest` says, `[session, agent]`, which is at most their `onward`."""
    found = tables.reach(rest)
    for one, row, reached in zip(sessions, rest, found, strict=True):
        tables.reach_back(one.session, one.onward, row, one.goes_on, reached)
    return found
