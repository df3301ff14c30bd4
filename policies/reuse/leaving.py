"""What follows an agent's responses by the counts of one moment, worked out only where somebody asks for it: how far
sessions are to be learned from, and where they stand, is noted at once and made into numbers later, many at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .pairs import Row
from .transitions import Floats, Transitions

BUCKETS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 18)
"""Turn numbers from which on the next bucket counts: 0 to 7 one each, 8-9, 10-12, 13-17, 18 and more."""
PLACES = 2 * (len(BUCKETS) + 1)
"""Of turns, see place_of."""


def place_of(turn: int, *, closes: bool) -> int:
    """The bucket of a turn; those after whose answers sessions should be over are apart, behind all others."""
    return bisect_right(BUCKETS, turn) + closes * (len(BUCKETS) + 1)


class Onward(NamedTuple):
    """What follows a response of one agent. `ends`: probability that nothing does, by how it finished, the last one
    however it did; `goes_on`: that something does; `agents[finish]`: which agent is next then; sums to at most 1, the
    rest goes to an agent nobody has met."""

    ends: Sequence[float]
    goes_on: Sequence[float]
    agents: Floats


class Leaving:
    """`counts`: of the agent, as they were, or `was`: who still has them; None while they are the latest. `onward`:
    what they say, once worked out."""

    __slots__ = ("agent", "counts", "onward", "was")

    def __init__(self, agent: int, was: Transitions | None = None) -> None:
        self.agent = agent
        self.counts: bytes | None = None
        self.was = was
        self.onward: Onward | None = None


Stood = tuple[Leaving, tuple[Row, Row], int | float]
"""Where a session stands: what follows its agent, all in all, and by pairs of agents and finish; and how many turns
were noted to be learned from before, or, once they are learned from, the chance of an end as a float, see Chances."""


class Chances(NamedTuple):
    """How likely sessions end, at one moment. `ratios`: by place_of, as odds against those of any turn; `closed`: odds
    where the last answer says so, whatever the agent and the turn."""

    ratios: Sequence[float]
    closed: float

    def of(self, turn: int, *, closes: bool) -> float:
        """Where the last answer says so the odds of an end, else against those by the agent alone."""
        return self.ratios[place_of(turn, closes=closes)] * (self.closed if closes else 1.0)


class Passed(NamedTuple):
    """A turn of a session that went past it, or ended there. `leaving`: None where too little is known, or its last
    answer said that it was over, `closes`; `place`: see place_of; `weight`: as it counts, see open_turns."""

    leaving: Leaving | None
    finish: int
    place: int
    ended: bool
    weight: float
    closes: bool
