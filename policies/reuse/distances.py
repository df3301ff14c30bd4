"""Where sessions go by how lately they were at each agent, whoever that is: what tells a debate from a pipeline of the
same agents, and needs not be learned of each agent anew.

The distance of a move is that of the LRU stack model (Mattson et al., IBM Systems J. 9, 1970; Spirn, Program Behavior,
1977): 1 is back to the agent that the session came from, 2 to the one before that, and NEW to one that it has not been
at. What a distance follows from are the last three, and of few counts of these what is counted of fewer says what to
expect (as in prediction by partial matching: Cleary and Witten, IEEE Trans. Commun. 32, 1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..shares import Share
from .backoff import backed_off

if TYPE_CHECKING:
    from .transitions import Floats

NEW, FARTHEST = 0, 5
"""Distances of moves; the last one is that of all agents beyond."""
KINDS = FARTHEST + 1
BEGUN = KINDS
"""Stands for a distance where a session has not moved so often yet."""
MOST_LATELY = 12
"""Agents whose order is known."""
PLACES = 8
"""Whoever is farther back is taken to be so far."""
FIRST_WEIGHT, WEIGHT = 2.0, 4.0
"""Of what is expected by no distance, and by one or two, in counts."""
HARDLY = 1e-6
"""What was never seen is still so likely."""
LARGEST = 250
"""Counts of a row that sum to this are halved, so that old traffic fades."""


class Walk(NamedTuple):
    """Of a session: the other agents that it has been at, by slot, those it left last first; and the distances of its
    last three moves, the last one at the end."""

    others: bytes = b""
    lately: tuple[int, int, int] = (BEGUN, BEGUN, BEGUN)

    def on(self, before: int, after: int) -> Walk:
        """It leaves an agent for another one."""
        others = bytes([before]) + self.others.replace(bytes([after]), b"")
        return Walk(others[:MOST_LATELY], (*self.lately[1:], self.distance(after)))

    def distance(self, agent: int) -> int:
        """Of a move there."""
        place = self.others.find(agent)
        return NEW if place < 0 else min(1 + place, FARTHEST)

    def among(self, agents: int) -> list[int]:
        """The other agents that it has been at, of the first so many."""
        return [slot for slot in self.others if slot < agents]

    def without(self, agent: int) -> Walk:
        return self._replace(others=self.others.replace(bytes([agent]), b""))


class Distances:
    """Counts `[lately, distance]` of moves, and `right`: by the last distance, how often sessions go where distances
    say, rather than where agents do."""

    def __init__(self) -> None:
        self._counts: NDArray[np.uint8] = np.zeros((KINDS + 1, KINDS + 1, KINDS + 1, KINDS), np.uint8)
        self._right = [Share(0.2) for _ in range(KINDS + 1)]

    def still(self) -> Known:
        """What is known now, whatever is counted later."""
        return Known(self._counts, self._right)

    def moved(self, walk: Walk, after: int) -> None:
        """A session left its agent for another one."""
        row = self._counts[walk.lately]
        row[walk.distance(after)] += 1
        if sum(row.tolist()) >= LARGEST:
            row >>= 1

    def told(self, walk: Walk, by_agents: float, by_distance: float) -> None:
        """How likely that move was, by the agents that the session was at, and by distances."""
        self._right[walk.lately[-1]].see_which(max(by_distance, HARDLY), max(by_agents, HARDLY))


class Known:
    """What was counted up to one moment."""

    __slots__ = ("_counts", "_one", "_right", "_two")

    def __init__(self, counts: NDArray[np.uint8], right: list[Share]) -> None:
        self._counts = counts.copy()
        self._right = [share.mean for share in right]
        two = counts.sum(0).astype(np.float32)
        one = two.sum(0)
        overall = one.sum(0) + 0.5
        self._one = backed_off(one, overall / overall.sum(), FIRST_WEIGHT)
        self._two = backed_off(two, self._one, WEIGHT).astype(np.float16)

    def right(self, walk: Walk) -> float:
        """How often a session that came there so goes where distances say, if it leaves its agent."""
        return self._right[walk.lately[-1]]

    def mixed_into(self, row: Floats, walk: Walk, right: float) -> None:
        """`row`: how likely a session that leaves its agent goes to each, `[agent]`, by agents. Let it be by distances,
        as far as these are `right`; in place. By distances, those that it has not been at, met by others or not, are as
        likely among each other as they are by agents."""
        others = walk.among(len(row))
        likely = self._likely(walk, len(others))
        if len(others) >= FARTHEST:
            likely[FARTHEST] /= len(others) - FARTHEST + 1
        strangers, before = max(0.0, 1.0 - float(np.add.reduce(row))), [float(row[slot]) for slot in others]
        for slot in others:
            row[slot] = 0.0
        row *= 1.0 - right + right * likely[NEW] / max(1e-6, float(np.add.reduce(row)) + strangers)
        for place, (slot, by_agents) in enumerate(zip(others, before, strict=True), 1):
            row[slot] = by_agents + right * (likely[min(place, FARTHEST)] - by_agents)

    def _likely(self, walk: Walk, others: int) -> list[float]:
        """Probability of each distance of those that are possible with so many other agents."""
        counts, expected = self._counts[walk.lately].tolist(), self._two[walk.lately[1:]].tolist()
        total = sum(counts) + WEIGHT
        seen = zip(counts[: others + 1], expected, strict=False)
        likely = [(count + WEIGHT * share) / total + HARDLY for count, share in seen]
        possible = sum(likely)
        return [chance / possible for chance in likely]

    def passages(self, step: float) -> Floats:
        """Discount until a session is back at the agent of each place, after a move of each distance to another one,
        `[distance, place]`, by the last distance alone; place 0 is that of the agent it came from. `step`: discount
        from move to move, as far as there is a further one."""
        size = KINDS * PLACES
        going = step * np.einsum("kst,kj->ksjt", _ON, self._one[:KINDS])
        back = np.einsum("ksjt,jt->ks", going, _BACK)
        going *= 1.0 - _BACK
        going = np.asarray(going.reshape(size, size), np.float64)
        found = np.linalg.solve(np.eye(size) - going, np.asarray(back, np.float64).ravel())
        return found.reshape(KINDS, PLACES).astype(np.float32)

    def reach_back(
        self, walk: Walk, at_once: Sequence[float], all_moves: float, reach: Floats, passages: Floats
    ) -> None:
        """Let the discount until each agent that a session has been at be by distances, as far as these are right, but
        for its next move, which is known better. In place; `at_once`: discounted probability of that for each of these
        agents, in the order of Walk.among; `all_moves`: for any, strangers, too. How it goes back to the agent that it
        came from is told better by these two, see pairs."""
        near, far = at_once[: FARTHEST - 1], at_once[FARTHEST - 1 :]
        elsewhere, right = max(0.0, all_moves - sum(at_once)), self.right(walk)
        kinds = [elsewhere, *near, *[0.0] * (FARTHEST - 1 - len(near)), sum(far)]
        later: list[float] = (np.array(kinds, np.float32) @ passages).tolist()
        for place, slot in enumerate(walk.among(len(reach))[1:], 1):
            known, there = at_once[place], min(place, PLACES - 1)
            back = known + later[there] - known * float(passages[min(place + 1, FARTHEST), there])
            reach[slot] += right * (back - float(reach[slot]))


def _places() -> tuple[Floats, Floats]:
    """What a move of each distance makes of the agent at each place: how likely it is the one that the session goes
    back to, `[distance, place]`, and where it is then if it is not, `[distance, place, place]`."""
    distance, place = np.indices((KINDS, PLACES))
    beyond = np.minimum(place + 1, FARTHEST)
    back = (distance == beyond) / np.where(beyond == FARTHEST, PLACES + 1 - FARTHEST, 1)
    moved = np.minimum(place + ((distance == NEW) | (distance > beyond)), PLACES - 1)
    return back, np.eye(PLACES)[moved]


_BACK, _ON = _places()
