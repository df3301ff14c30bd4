"""Whether a session comes back, and when: histograms of the idle time between a response and the session's next
request, by how the response finished and by agent, shrunk to what is expected of the agent (see pauses).

The last bin has no end: gaps in it are taken for spread by Pareto's law, of which one that has lasted for so long lasts
on for RATIO - 1 times as long on the mean. So a session is worth less and less however long it is idle; nothing only
where so few gaps were as long that half precision holds none.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .pauses import Pauses
from .transitions import FINISHES, GROWTH, Floats, Ints

FIRST_EDGE_S = 0.05
RATIO = 1.6
BINS = 20
EXPECTED_WEIGHT = 13.0
"""What is expected of an agent counts for as many gaps as that."""
DECAY = 0.99

HIGH_S: Floats = (FIRST_EDGE_S * RATIO ** np.arange(BINS)).astype(np.float32)
LOW_S: Floats = np.concatenate([np.zeros(1, np.float32), HIGH_S[:-1]])
WIDTH_S: Floats = HIGH_S - LOW_S
TAIL_S = float(LOW_S[-1])
"""Where the last bin begins."""
TAIL_POWER = 1.0 + 1.0 / (RATIO - 1.0)
CENTRES_S: Floats = (0.5 * (LOW_S + HIGH_S)).astype(np.float32)
CENTRES_S[-1] = RATIO * TAIL_S

_ENDS_S: Floats = HIGH_S[:-1].copy()


def bin_of(gap_s: float) -> int:
    """Log-spaced bin of an idle time in seconds."""
    if gap_s <= FIRST_EDGE_S:
        return 0
    return min(BINS - 1, 1 + int(math.log(gap_s / FIRST_EDGE_S) / math.log(RATIO)))


class Gaps:
    """Counts `[finish, agent, bin]` and `[finish, bin]` over all agents, and the shapes that are expected by them: they
    are kept, since between two fits only those change of agents that sessions came back from."""

    def __init__(self) -> None:
        self._counts: Floats = np.zeros((FINISHES, 0, BINS), np.float16)
        self._all: Floats = np.full((FINISHES, BINS), 0.02, np.float32)
        self._pauses = Pauses(BINS)
        self._shapes: Floats = self._counts
        self._stale: set[tuple[int, int]] = set()

    def grow(self, agents: int) -> None:
        missing = -(-agents // GROWTH) * GROWTH - self._counts.shape[1]
        if missing > 0:
            self._counts = np.concatenate([self._counts, np.zeros((FINISHES, missing, BINS), np.float16)], axis=1)
            self._shapes_anew()

    def forget(self, agent: int) -> None:
        self._counts[:, agent] = 0
        self._stale.update((finish, agent) for finish in range(FINISHES))

    def fit(self) -> None:
        """Work out what is expected of each agent."""
        self._pauses.fit(self._counts.astype(np.float32), self._all / self._all.sum(-1, keepdims=True))
        self._shapes_anew()

    def _shapes_anew(self) -> None:
        self._stale.clear()
        finish, agents = np.indices(self._counts.shape[:2]).reshape(2, -1)
        self._shapes = self._shapes_of(finish, agents).reshape(self._counts.shape)

    def _shapes_of(self, finish: Ints, agents: Ints) -> Floats:
        counts = self._counts[finish, agents].astype(np.float32)
        counts += EXPECTED_WEIGHT * self._pauses.expected(finish, counts)
        return (counts / np.add.reduce(counts, -1, keepdims=True)).astype(np.float16)

    def came_back(self, finish: int, agent: int, gap_s: float) -> None:
        """A session sent its next request this long after a response of the agent."""
        column = bin_of(gap_s)
        own, overall = self._counts[finish, agent], self._all[finish]
        own *= DECAY
        own[column] += 1.0
        self._stale.add((finish, agent))
        overall *= DECAY
        overall[column] += 1.0

    def shapes(self, finish: Ints, agents: Ints) -> Floats:
        """Probability of each bin after responses of these agents that finished so, `[pair, bin]`, half precision."""
        return self._up_to_date()[finish, agents]

    def _up_to_date(self) -> Floats:
        if self._stale:
            stale, agent = np.array([*self._stale]).T
            self._shapes[stale, agent] = self._shapes_of(stale, agent)
            self._stale.clear()
        return self._shapes

    def discount(self, agents: int, beta_per_s: float) -> Floats:
        """E[exp(-beta gap)] after a response of each agent that finished so, `[finish, agent]`."""
        shapes = self._up_to_date()[:, :agents].reshape(-1, BINS).astype(np.float32)
        return (shapes @ _discounts(beta_per_s)).reshape(FINISHES, agents)

    def longest_s(self) -> float:
        """The gap that 98.5 % of all stay below."""
        shares = np.cumsum(self._all.sum(0)) / self._all.sum()
        return float(CENTRES_S[min(int((shares < 0.985).sum()), BINS - 1)])


def _rest_in_tail(beta_per_s: float, idle_s: Floats | float) -> Floats | float:
    """E[exp(-beta rest)] of a gap that has lasted for so long, as of an exponential rest with its mean."""
    return 1.0 / (1.0 + beta_per_s * (RATIO - 1.0) * idle_s)


def _discounts(beta_per_s: float) -> Floats:
    """E[exp(-beta gap)] of gaps in each bin."""
    discounts = np.exp(-beta_per_s * CENTRES_S)
    discounts[-1] = math.exp(-beta_per_s * TAIL_S) * _rest_in_tail(beta_per_s, TAIL_S)
    return discounts


@lru_cache(maxsize=4)
def _later(beta_per_s: float) -> Floats:
    """What follows the end of a bin, from histograms: multiplied with `[session, bin]` they give, side by side, the
    probability of a longer gap than to the end of each bin, and the discount of that from there on."""
    longer = np.tril(np.ones((BINS, BINS)), -1)
    discounts = np.exp(-beta_per_s * np.maximum(CENTRES_S[:, None] - HIGH_S, 0.0))
    discounts[-1] = np.exp(-beta_per_s * np.maximum(TAIL_S - HIGH_S, 0.0)) * _rest_in_tail(beta_per_s, TAIL_S)
    return np.concatenate([longer, longer * discounts], axis=1).astype(np.float32)


class Residual:
    """Of sessions with a histogram of gaps each, `[session, bin]`: how long they stay away yet. Within a bin gaps are
    taken for evenly spread, but for the last one. What does not depend on how long they are idle is worked out once."""

    __slots__ = ("_beta_per_s", "_later", "_longer", "_shapes")

    def __init__(self, shapes: Floats, beta_per_s: float) -> None:
        self._beta_per_s = beta_per_s
        both = shapes.astype(np.float32) @ _later(beta_per_s)
        self._shapes, self._longer, self._later = shapes.ravel(), both[:, :BINS].ravel(), both[:, BINS:].ravel()

    def after(self, idle_s: Floats) -> tuple[Floats, Floats]:
        """For sessions idle this long: the probability that the gap lasts longer, and E[exp(-beta rest)] of the rest of
        such a gap."""
        bins = _ENDS_S.searchsorted(idle_s)
        at = np.arange(0, len(bins) * BINS, BINS) + bins
        left_s = np.maximum(HIGH_S[bins] - idle_s, 0.0)
        here = self._shapes[at] * (left_s / WIDTH_S[bins])
        survival = here + self._longer[at]
        half = np.exp((-0.5 * self._beta_per_s) * left_s)
        rest = half * (here + half * self._later[at]) / np.maximum(survival, 1e-9)
        if len(tail := np.flatnonzero(bins == BINS - 1)):
            idle_s = idle_s[tail]
            survival[tail] = self._shapes[at[tail]] * (TAIL_S / idle_s) ** TAIL_POWER
            rest[tail] = _rest_in_tail(self._beta_per_s, idle_s)
        return survival, rest
