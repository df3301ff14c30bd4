"""Whether a session comes back, and when: histograms of the idle time between a response and the session's next
request, by how the response finished and by agent, shrunk to the histogram of all agents."""

from __future__ import annotations

import math

import numpy as np

from .transitions import FINISHES, GROWTH, Floats, Ints

FIRST_EDGE_S = 0.05
RATIO = 1.6
BINS = 20
SHRINK_WEIGHT = 4.0
DECAY = 0.99

HIGH_S: Floats = (FIRST_EDGE_S * RATIO ** np.arange(BINS)).astype(np.float32)
LOW_S: Floats = np.concatenate([np.zeros(1, np.float32), HIGH_S[:-1]])
WIDTH_S: Floats = HIGH_S - LOW_S
CENTRES_S: Floats = (0.5 * (LOW_S + HIGH_S)).astype(np.float32)


def bin_of(gap_s: float) -> int:
    """Log-spaced bin of an idle time in seconds."""
    if gap_s <= FIRST_EDGE_S:
        return 0
    return min(BINS - 1, 1 + int(math.log(gap_s / FIRST_EDGE_S) / math.log(RATIO)))


class Gaps:
    """Counts `[finish, agent, bin]` and `[finish, bin]` over all agents."""

    def __init__(self) -> None:
        self._counts: Floats = np.zeros((FINISHES, 0, BINS), np.float16)
        self._all: Floats = np.full((FINISHES, BINS), 0.02, np.float32)

    def grow(self, agents: int) -> None:
        missing = -(-agents // GROWTH) * GROWTH - self._counts.shape[1]
        if missing > 0:
            self._counts = np.concatenate([self._counts, np.zeros((FINISHES, missing, BINS), np.float16)], axis=1)

    def forget(self, agent: int) -> None:
        self._counts[:, agent] = 0

    def came_back(self, finish: int, agent: int, gap_s: float) -> None:
        """A session sent its next request this long after a response of the agent."""
        column = bin_of(gap_s)
        own, overall = self._counts[finish, agent], self._all[finish]
        own *= DECAY
        own[column] += 1.0
        overall *= DECAY
        overall[column] += 1.0

    def shapes(self, finish: Ints, agents: Ints) -> Floats:
        """Probability of each bin after responses of these agents that finished so, `[pair, bin]`."""
        overall = self._all / self._all.sum(-1, keepdims=True)
        counts = self._counts[finish, agents].astype(np.float32)
        counts += (SHRINK_WEIGHT * overall)[finish]
        counts /= np.add.reduce(counts, -1, keepdims=True)
        return counts

    def discount(self, agents: int, beta_per_s: float) -> Floats:
        """E[exp(-beta gap)] after a response of each agent that finished so, `[finish, agent]`."""
        overall = self._all / self._all.sum(-1, keepdims=True)
        counts = self._counts[:, :agents].astype(np.float32) + SHRINK_WEIGHT * overall[:, None]
        return counts / counts.sum(-1, keepdims=True) @ np.exp(-beta_per_s * CENTRES_S)

    def longest_s(self) -> float:
        """The gap that 98.5 % of all stay below."""
        shares = np.cumsum(self._all.sum(0)) / self._all.sum()
        return float(CENTRES_S[min(int((shares < 0.985).sum()), BINS - 1)])


def residual(shapes: Floats, idle_s: Floats, beta_per_s: float) -> tuple[Floats, Floats]:
    """For sessions idle this long, with a histogram each `[session, bin]`: the probability that a gap lasts longer, and
    E[exp(-beta rest)] of the rest of such a gap. Within a bin gaps are taken for evenly spread."""
    from_s = np.maximum(LOW_S, idle_s[:, None])
    left = HIGH_S - from_s
    left /= WIDTH_S
    np.minimum(np.maximum(left, 0.0, out=left), 1.0, out=left)
    left *= shapes
    survival = np.add.reduce(left, -1)
    rest_s = from_s
    rest_s += HIGH_S
    rest_s *= 0.5
    rest_s -= idle_s[:, None]
    np.maximum(rest_s, 0.0, out=rest_s)
    rest_s *= -beta_per_s
    left *= np.exp(rest_s, out=rest_s)
    return survival, np.add.reduce(left, -1) / np.maximum(survival, 1e-9)
