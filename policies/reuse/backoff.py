"""Few counts, and what is expected where there are none; and how much that weighs, by how well it told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .transitions import Floats


def backed_off(counts: Floats, prior: Floats, weight: float) -> Floats:
    """Shares of what was counted, along the last axis, and of a prior that weighs as much as so many counts."""
    total = np.add.reduce(counts, -1, keepdims=True)
    return (counts + (prior if weight == 1.0 else weight * prior)) / (total + weight)


def averaged(told: Sequence[float], tried: Sequence[float]) -> float:
    """The weight to take, of those that were tried: their mean as logarithms, each as likely as it made what came; the
    logarithm of that is `told` (after Bayesian model averaging; Hoeting et al., Statistical Science 14, 1999)."""
    most = max(told)
    chances = [math.exp(one - most) for one in told]
    logs = sum(chance * math.log(weight) for chance, weight in zip(chances, tried, strict=True))
    return math.exp(logs / sum(chances))
