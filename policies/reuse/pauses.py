"""What pauses after an agent are like of which few are known: they differ by a factor from those after other agents, as
tools differ in speed, and are spread about their own middle as all are about theirs.

On a scale of log-spaced bins that is a random-effects model without a law for the spread: agents' middles are drawn
around that of all, and one is believed by how many pauses it is made of and by how far agents differ (empirical Bayes:
Morris, J. Amer. Statist. Assoc. 78, 1983; variances by moments: DerSimonian and Laird, Control. Clin. Trials 7, 1986).
"""

from __future__ import annotations

import numpy as np

from .transitions import FINISHES, Floats, Ints

USUAL_SPREAD = 2.0
"""Variance of pauses about their agent's middle, in bins squared, as long as few are known; it counts for so many:"""
USUAL_WEIGHT = 3.0
LEAST_APART = 0.02
"""Variance of agents' middles, in bins squared, that is left open where none shows."""


class Pauses:
    """What all pauses have in common, as of the last fit, `[finish]`: the middle of agents' middles, as how many pauses
    of an agent that counts, and, `[finish, bin]`, how pauses are spread about their agent's middle, and all in all."""

    def __init__(self, bins: int) -> None:
        self._common: Floats = np.zeros(FINISHES, np.float32)
        self._doubt: Floats = np.full(FINISHES, np.inf, np.float32)
        self._spread: Floats = np.full((FINISHES, bins), 1 / bins, np.float32)
        self._overall = self._spread

    def fit(self, counts: Floats, overall: Floats) -> None:
        """By how often each bin was seen after each agent, `[finish, agent, bin]`, and by what all pauses are like,
        `[finish, bin]`, which sum to 1."""
        self._overall = overall
        everybody = counts.sum(1) + overall
        self._common = everybody @ _places(counts) / everybody.sum(-1)
        known, apart = self._of(counts, self._common[:, None])
        self._doubt = _doubt(counts, known, apart, self._common)
        about = overall.copy()
        for finish, seen in enumerate(known > 0):
            about[finish] += _moved(counts[finish, seen], -apart[finish, seen]).sum(0)
        self._spread = about / about.sum(-1, keepdims=True)
        # agents may differ in how often they are slow instead: then nobody is as slow as their middles are
        tighter = _entropy(self._spread) < _entropy(everybody / everybody.sum(-1, keepdims=True))
        self._doubt = np.where(tighter, self._doubt, np.float32(np.inf))

    def expected(self, finish: Ints, counts: Floats) -> Floats:
        """Probability of each bin after responses that finished so of agents with these counts, `[pair, bin]`: the
        agent's middle is believed by how many pauses are known, and without any it is as all pauses are."""
        known, apart = self._of(counts, self._common[finish])
        believed = known / (known + self._doubt[finish])
        expected, some = self._overall[finish], np.flatnonzero(believed)
        if len(some):
            own = _moved(self._spread[finish[some]], believed[some] * apart[some])
            expected[some] += believed[some, None] * (own - expected[some])
        return expected

    def _of(self, counts: Floats, common: Floats) -> tuple[Floats, Floats]:
        """How many pauses of an agent are known, and how far their middle is from that of all."""
        known = counts.sum(-1)
        middles = counts @ _places(counts) / np.maximum(known, 1e-9)
        return known, np.where(known > 0, middles - common, np.float32(0.0))


def _places(counts: Floats) -> Floats:
    return np.arange(counts.shape[-1], dtype=np.float32)


def _doubt(counts: Floats, known: Floats, apart: Floats, common: Floats) -> Floats:
    """How many pauses tell as much of an agent's middle as the other agents do, `[finish]`."""
    squares = (counts * (_places(counts) - (common[:, None] + apart)[..., None]) ** 2).sum((1, 2))
    within = (squares + USUAL_SPREAD * USUAL_WEIGHT) / (np.maximum(known - 1.0, 0.0).sum(-1) + USUAL_WEIGHT)
    among = (known * apart**2).sum(-1) - np.maximum((known > 0).sum(-1) - 1, 0) * within
    total = np.maximum(known.sum(-1), 1e-9)
    between = np.where((known > 0).sum(-1) > 1, among / np.maximum(total - (known**2).sum(-1) / total, 1e-6), 0.0)
    return within / np.maximum(between, LEAST_APART)


def _moved(shapes: Floats, by: Floats) -> Floats:
    """Histograms `[row, bin]` moved up by so many bins, `[row]`; what is between two goes to both, what would leave the
    scale stays at its end."""
    rows, bins = shapes.shape
    upto = np.zeros((rows, bins + 2), np.float32)
    np.cumsum(shapes, 1, out=upto[:, 1:-1])
    upto[:, -1] = upto[:, -2]
    edges = np.minimum(np.maximum(np.arange(1.0, bins, dtype=np.float32) - by[:, None], 0.0), bins)
    whole = np.floor(edges)
    part = edges - whole
    below = (whole + np.arange(0.0, rows * (bins + 2), bins + 2)[:, None]).astype(np.intp)
    flat = upto.ravel()
    upto[:, 1:-2] = flat[below] * (1.0 - part) + flat[below + 1] * part
    return np.maximum(np.diff(upto[:, :-1]), 0.0)


def _entropy(shapes: Floats) -> Floats:
    return -(shapes * np.log(np.maximum(shapes, 1e-12))).sum(-1)
