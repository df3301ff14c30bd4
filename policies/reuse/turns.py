"""How likely a session is to end, by how many turns it had: the odds against those of a session of any length."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence

import numpy as np

from ..shares import Share
from .backoff import averaged
from .leaving import PLACES, Chances, Leaving, Passed, place_of
from .pairs import NOWHERE
from .standing import Session, Standing
from .tables import Tables
from .transitions import Floats, Ints, keeps

SPAN = 100
"""See transitions.SPAN."""
TRIED = (1.0, 3.0, 10.0, 30.0, 200.0)
"""Turns of each place, UNKNOWN of which ended, as was expected whatever their turn, before any were seen: how many is
learned by which would have told better what is over, as in `weights`."""
LEARNED = 1 - 1 / 400
"""What is left of that with every turn."""
LEAST = 1e-3
CLOSING = 0.5
"""How often an answer that closes a session is taken to be its last, until that was seen."""
NONE = (0.0,) * PLACES
MOST_NOTED = 6
"""Turns that are noted before they are learned from, if nobody asks for anything: what is noted takes room."""
UNKNOWN = 0.1
"""How likely a session is taken to end after an agent that is not in the tables yet."""


class Turns:
    """Decayed counts, see place_of: sessions that ended there against what their agents alone made one expect, told by
    `note` and counted by `learn`. `closings`: how often a session is over when its last answer says so; that tells then
    what to expect, in place of its agent."""

    def __init__(self) -> None:
        self._number, self._ended, self._expected = (_by_place(NONE) for _ in range(3))
        self._seen = array("I", [0] * PLACES)
        self.open(NONE, NONE, NONE, [SPAN] * len(NONE))
        self.closings = Share(CLOSING)
        self._told = array("f", [0.0] * len(TRIED))
        self._told_best: float | None = None
        self._noted: list[Passed] = []

    @property
    def noted(self) -> int:
        """Turns that are not counted yet."""
        return len(self._noted)

    def seen(self, session: Session) -> int:
        """How many turns like its own were noted."""
        return self._seen[_place(session)]

    def weight(self, session: Session) -> float:
        """What its turn weighs by how many were noted since it began."""
        return keeps(self._span[_place(session)]) ** (self.seen(session) - session.seen_of_turn)

    def waited(self, places: Ints, since: Ints) -> Ints:
        """How many of each of these were noted since so many had been `seen`."""
        return np.array(self._seen)[places] - since

    def weights(self, places: Ints, waited: Ints) -> Floats:
        """See `weight`, of many turns."""
        return (1.0 - 1.0 / np.array(self._span)[places]) ** waited

    def note(self, leaving: Leaving | None, session: Session, *, ended: bool) -> None:
        """A session went past its turn, or ended there."""
        place, weight = _place(session), self.weight(session)
        self._noted.append(Passed(leaving, session.finish, place, ended, weight, session.closes))
        self._seen[place] += 1

    def open(
        self, turns: Sequence[float], over: Sequence[float], expected: Sequence[float], span: Sequence[int]
    ) -> None:
        """Of so many turns that nothing has followed yet, so many are likely over, and by their agents alone, by
        place; `span`: what is counted of each is made of from now on."""
        self._open_number, self._open_ended, self._open_expected = map(_by_place, (turns, over, expected))
        self._span = array("H", span)

    def passed(self, place: int, expected: float, ended: bool, weight: float) -> None:
        """A session went past a turn of that place, or ended there, of which that was expected whatever its turn."""
        for number, prior in enumerate(TRIED):
            odds = self._ratio(place, prior) * _odds(expected)
            likely = (odds if ended else 1.0) / (1.0 + odds)
            self._told[number] = LEARNED * self._told[number] + math.log(max(LEAST, likely))
        self._told_best = None
        kept = keeps(self._span[place])
        self._number[place] = self._number[place] * kept + weight
        self._ended[place] = self._ended[place] * kept + weight * ended
        self._expected[place] = self._expected[place] * kept + weight * expected

    def learn(self, tables: Tables, standing: Standing) -> None:
        """Count the turns that were noted. Sessions that are behind keep the chance that there was when they came to
        stand where they do."""
        noted, behind, sessions = self._noted, standing.behind, standing.by_name
        lately = [(name, stood) for name, stood in behind.items() if not isinstance(stood[2], float)]
        ends, told = tables.ends([one.leaving for one in noted if one.leaving is not None]), 0
        for number in range(len(noted) + 1):
            while told < len(lately) and lately[told][1][2] == number:
                name, (leaving, pairs, _) = lately[told]
                behind[name] = leaving, pairs, self._chance(sessions[name])
                told += 1
            if number < len(noted):
                self._count(noted[number], ends)
        noted.clear()

    def _count(self, one: Passed, ends: Mapping[Leaving, Sequence[float]]) -> None:
        if one.closes:
            expected = self.closings.mean
            self.closings.see(float(one.ended))
        else:
            expected = UNKNOWN if one.leaving is None else ends[one.leaving][one.finish]
        self.passed(one.place, expected, one.ended, one.weight)

    def _chance(self, session: Session) -> float:
        """See Chances.of."""
        return self._ratio(_place(session), self._prior) * (_odds(self.closings.mean) if session.closes else 1.0)

    def chances(self) -> Chances:
        """How likely sessions end, by what is counted now."""
        prior = self._prior
        return Chances([self._ratio(place, prior) for place in range(PLACES)], _odds(self.closings.mean))

    @property
    def _prior(self) -> float:
        """As many turns are expected as told best; kept until the next turn, many sessions may ask."""
        if self._told_best is None:
            self._told_best = averaged(self._told, TRIED)
        return self._told_best

    def _ratio(self, place: int, prior: float) -> float:
        ended = self._ended[place] + self._open_ended[place]
        expected = self._expected[place] + self._open_expected[place]
        number = self._number[place] + self._open_number[place]
        few = prior * UNKNOWN
        rest = number + prior - few
        return (ended + few) * (rest - expected) / ((expected + few) * (rest - ended))

    def end(self, session: Session, chance: float, by_agent: float, hints_right: float) -> float:
        """Probability that the session has no further turn, by the `chance` of that, see Chances.of, and, whatever its
        turn, by its agent; less if somebody said where it goes next, as far as such `hints_right` are."""
        odds = chance if session.closes else chance * _odds(by_agent)
        p_end = odds / (1.0 + odds)
        return p_end if session.hinted == NOWHERE else p_end * (1.0 - hints_right)


def _place(session: Session) -> int:
    return place_of(session.turn, closes=session.closes)


def _odds(share: float) -> float:
    return share / max(1e-6, 1.0 - share)


def _by_place(values: Sequence[float]) -> array[float]:
    return array("f", values)
