"""How much what is expected of any agent weighs against what was counted of one: else agents that are all alike would
be told apart by chance, or agents with their own ways taken for the mean.

Both weights are learned by which would have told better whether sessions stay at their agent: each move is predicted by
every pair of weights from what was counted before it, and a pair counts by how likely it made what came. Finishes are
taken to be as frequent as each other there.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..shares import Share
from .backoff import averaged

if TYPE_CHECKING:
    from .transitions import Floats, Ints

AGENT, FINISH = (1.0, 3.0, 10.0, 30.0), (0.5, 2.0, 8.0, 32.0)
"""Weights in counts that are tried, of all agents against one, and of an agent against one of its finishes."""
MOST_NOTED, NOTED = 12, 6
"""Moves before they are learned from, and numbers of each."""
FADE = 0.98
"""Of what was learned, with every so many moves."""
LEAST, MOST = 1e-3, 1 - 1e-3

_TRIED: Floats = np.array([*product(AGENT, FINISH)], np.float32).T


class Weights(NamedTuple):
    """In counts: of what is expected of any agent, against one agent's; and of what is expected of an agent however its
    responses finish, against those that finished in one way."""

    agent: float
    finish: float


class Weighing:
    """Learns from moves. `now`: the weights by all of them, but for the last few."""

    def __init__(self) -> None:
        self._told: Floats = np.zeros(_TRIED.shape[1], np.float32)
        self._stays: list[Share] = [Share(0.3), Share(0.3)]
        self._noted = array("f")
        self.now = self._mean()

    def see(self, finish: int, again: Sequence[float], moved: Sequence[float], *, stays: bool) -> None:
        """A session moved on from an agent, or stays there. Of that agent was counted, by how its responses finished,
        how often sessions stayed, `again`, of how often they had a further turn anywhere, `moved`."""
        self._noted.extend((stays, finish, *again, *moved))
        if len(self._noted) >= MOST_NOTED * NOTED:
            self._learn()

    def _learn(self) -> None:
        noted = np.array(self._noted).reshape(-1, NOTED)
        stays, finish = noted[:, 0] > 0, noted[:, 1].astype(int)
        expected = np.array([share.mean for share in self._stays])
        likely = _stays(finish, noted[:, 2:4], noted[:, 4:], expected)
        likely = np.clip(np.where(stays[:, None], likely, 1.0 - likely), LEAST, MOST)
        self._told = (FADE * self._told + np.log(likely).sum(0)).astype(np.float32)
        for stayed, so in zip(stays.tolist(), finish.tolist(), strict=True):
            self._stays[int(so)].see(float(stayed))
        self._noted = array("f")
        self.now = self._mean()

    def _mean(self) -> Weights:
        told = self._told.tolist()
        return Weights(*(averaged(told, tried) for tried in _TRIED.tolist()))


def _stays(finish: Ints, again: Floats, moved: Floats, expected: Floats) -> Floats:
    """How likely sessions stay by each pair of weights, `[move, pair]`, by what was counted of their agents,
    `[move, finish]`, and what is expected of any, `[finish]`. As in Habits: a finish shifts the odds of an agent."""
    of_all, of_one = _TRIED
    move, overall = np.arange(len(finish)), expected.mean()
    own = (again.sum(1)[:, None] + of_all * overall) / (moved.sum(1)[:, None] + of_all)
    odds = _odds(own) * (_odds(expected) / _odds(overall))[finish, None]
    return (again[move, finish, None] + of_one * odds / (1.0 + odds)) / (moved[move, finish, None] + of_one)


def _odds(share: Floats) -> Floats:
    share = np.clip(share, LEAST, MOST)
    return share / (1.0 - share)
