"""How likely a session is to end, by how many turns it had: the odds against those of a session of any length."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from ..shares import Share
from .leaving import BUCKETS, Chances, Leaving, Passed, bucket_of
from .pairs import NOWHERE
from .standing import Session, Standing
from .tables import Tables
from .transitions import Floats, Ints, keeps

SPAN = 100
"""See transitions.SPAN."""
PRIOR_WEIGHT = 8.0
"""Turns of each bucket, UNKNOWN of which ended, as their agents alone made one expect, before any were seen."""
CLOSING = 0.5
"""How often an answer that closes a session is taken to be its last, until that was seen."""
NONE = (0.0,) * (len(BUCKETS) + 1)
MOST_NOTED = 6
"""Turns that are noted before they are learned from, if nobody asks for anything: what is noted takes room."""
UNKNOWN = 0.1
"""How likely a session is taken to end after an agent that is not in the tables yet."""


class Turns:
    """Decayed counts per bucket: sessions that ended there against what their agents alone made one expect, told by
    `note` and counted by `learn`. `closings`: how often a session is over when its last answer says so, whatever its
    turn."""

    def __init__(self) -> None:
        self._number, self._ended, self._expected = (_by_bucket(NONE) for _ in range(3))
        self._seen = [0] * (len(BUCKETS) + 1)
        self.open(NONE, NONE, NONE, [SPAN] * len(NONE))
        self.closings = Share(CLOSING)
        self._noted: list[Passed] = []

    @property
    def noted(self) -> int:
        """Turns that are not counted yet."""
        return len(self._noted)

    def seen(self, turn: int) -> int:
        """How many turns of about that number were noted."""
        return self._seen[bucket_of(turn)]

    def weight(self, turn: int, since: int) -> float:
        """What a turn weighs that began when so many had been `seen`."""
        return keeps(self._span[bucket_of(turn)]) ** (self.seen(turn) - since)

    def waited(self, buckets: Ints, since: Ints) -> Ints:
        """How many of each of these were noted since so many had been `seen`."""
        return np.array(self._seen)[buckets] - since

    def weights(self, buckets: Ints, waited: Ints) -> Floats:
        """See `weight`, of many turns."""
        return (1.0 - 1.0 / np.array(self._span)[buckets]) ** waited

    def note(self, leaving: Leaving | None, session: Session, *, ended: bool) -> None:
        """A session went past its turn, or ended there."""
        weight = self.weight(session.turn, session.seen_of_turn)
        self._seen[bucket_of(session.turn)] += 1
        self._noted.append(Passed(leaving, session.finish, session.turn, ended, weight))

    def open(
        self, turns: Sequence[float], over: Sequence[float], expected: Sequence[float], span: Sequence[int]
    ) -> None:
        """Of so many turns that nothing has followed yet, so many are likely over, and by their agents alone, by
        bucket; `span`: what is counted of each bucket is made of from now on."""
        self._open_number, self._open_ended, self._open_expected = map(_by_bucket, (turns, over, expected))
        self._span = array("H", span)

    def passed(self, turn: int, expected: float, ended: bool, weight: float) -> None:
        """A session went past this turn, or ended there, with that probability of ending by its agent alone."""
        place = bucket_of(turn)
        kept = keeps(self._span[place])
        self._number[place] = self._number[place] * kept + weight
        self._ended[place] = self._ended[place] * kept + weight * ended
        self._expected[place] = self._expected[place] * kept + weight * expected

    def learn(self, tables: Tables, standing: Standing) -> None:
        """Count the turns that were noted. Sessions that are behind keep the ratio that there was when they came to
        stand where they do."""
        noted, behind, sessions = self._noted, standing.behind, standing.by_name
        lately = [(name, stood) for name, stood in behind.items() if not isinstance(stood[2], float)]
        ends, told = tables.ends([one.leaving for one in noted if one.leaving is not None]), 0
        for number in range(len(noted) + 1):
            while told < len(lately) and lately[told][1][2] == number:
                name, (leaving, pairs, _) = lately[told]
                behind[name] = leaving, pairs, self.ratio(sessions[name].turn)
                told += 1
            if number < len(noted):
                leaving, finish, turn, ended, weight = noted[number]
                self.passed(turn, UNKNOWN if leaving is None else ends[leaving][finish], ended, weight)
        noted.clear()

    def ratio(self, turn: int) -> float:
        """How much more likely than by the agent alone it is to end after this turn, as odds."""
        return self._ratio(bucket_of(turn))

    def chances(self) -> Chances:
        """How likely sessions end, by what is counted now."""
        return Chances([self._ratio(place) for place in range(len(self._ended))], self.closings.mean)

    def chance(self, session: Session) -> int | float:
        """The same of one session, as far as it does not depend on turns that are not counted yet, else how many of
        these there are: whoever asks later is told the same. See leaving.Stood."""
        return self.closings.mean if session.closes else self.noted

    def _ratio(self, place: int) -> float:
        ended = self._ended[place] + self._open_ended[place]
        expected = self._expected[place] + self._open_expected[place]
        number = self._number[place] + self._open_number[place]
        few = PRIOR_WEIGHT * UNKNOWN
        rest = number + PRIOR_WEIGHT - few
        return (ended + few) * (rest - expected) / ((expected + few) * (rest - ended))

    def end(self, session: Session, chance: float, by_agent: float, hints_right: float) -> float:
        """Probability that the session has no further turn, by the `chance` of that, see Chances, and, whatever its
        turn, by its agent; less if somebody said where it goes next, as far as such `hints_right` are."""
        if session.closes:
            p_end = chance
        else:
            odds = chance * by_agent / max(1e-6, 1.0 - by_agent)
            p_end = odds / (1.0 + odds)
        return p_end if session.hinted == NOWHERE else p_end * (1.0 - hints_right)


def _by_bucket(values: Sequence[float]) -> array[float]:
    return array("f", values)
