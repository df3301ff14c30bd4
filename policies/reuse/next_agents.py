"""Which agent a session goes on to once it leaves its own: by who follows there, by where it came from, by who its own
are (see team), and by how lately it was at each of them (see distances)."""

from __future__ import annotations

import numpy as np

from .distances import Known
from .pairs import NOWHERE, Back, Row, back_of
from .standing import Session
from .team import among_own, without
from .transitions import PAIR_WEIGHT, Floats

HARDLY = 1e-3
"""Where a session leaves an agent more seldom than this, nobody asks where to."""


class NextAgents:
    """By what one fit knows. `own`: how often sessions go on among their own, rather than to where others go; `back`:
    how often they go back to the agent that they came from, by `back_of`."""

    __slots__ = ("_back", "_distances", "_own")

    def __init__(self, distances: Known, back: list[Back], own: float) -> None:
        self._distances, self._back, self._own = distances, back, own

    def after(self, session: Session, finish: int, pairs: tuple[Row, Row], row: Floats) -> Floats:
        """Which agent is next after a response that finished so, if the session goes on, `[agent]`; sums to at most 1,
        the rest goes to an agent nobody has met. `row`: the same by its agent alone, which tells whether it is left;
        `pairs`: what was counted by where it came from, too. Read only."""
        agent = session.agent
        leaves = 1.0 - float(row[agent])
        if leaves < HARDLY:
            return row
        row = self._by_agents(session, finish, pairs, row, leaves)
        self._distances.mixed_into(row, session.walk, self._distances.right(session.walk))
        row *= leaves
        row[agent] = 1.0 - leaves
        return row

    def both_ways(
        self, session: Session, finish: int, pairs: tuple[Row, Row], row: Floats, to: int | None
    ) -> tuple[float, float] | None:
        """How likely such a session goes to that agent if it leaves its own, by the agents that it was at, and by
        distances; None where it hardly ever leaves. `to` None: to any that nobody has met; `row`: as above."""
        leaves = 1.0 - float(row[session.agent])
        if leaves < HARDLY:
            return None
        row = self._by_agents(session, finish, pairs, row, leaves)
        by_agents = _share(row, to)
        self._distances.mixed_into(row, session.walk, 1.0)
        return by_agents, _share(row, to)

    def _by_agents(self, session: Session, finish: int, pairs: tuple[Row, Row], row: Floats, leaves: float) -> Floats:
        """Where the session goes if it leaves its agent, which it does so often, by the agents that it was at."""
        came_from, seen = session.came_from, pairs[finish]
        row = row * (PAIR_WEIGHT / leaves)
        row[session.agent], count = 0.0, 0
        for following, times in seen.items():
            row[following] += times
            count += times
        known = 0 <= came_from < len(row)
        if not known:
            row /= PAIR_WEIGHT + count
        else:
            common = self._back[back_of(finish, session.returned)]
            back = (seen.get(came_from, 0) + common.share * common.weight) / (count + common.weight)
            row *= (1.0 - back) / max(1e-6, PAIR_WEIGHT + count - float(row[came_from]))
            row[came_from] = back
        if self._own and (others := without(session.team, session.agent, came_from)):
            among_own(row, self._own, others, came_from if known else NOWHERE)
        return row


def _share(row: Floats, agent: int | None) -> float:
    """Of one agent, None: of those that nobody has met."""
    return 1.0 - float(np.add.reduce(row)) if agent is None else float(row[agent])
