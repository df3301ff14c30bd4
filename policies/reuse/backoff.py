"""Few counts, and what is expected where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .transitions import Floats


def backed_off(counts: Floats, prior: Floats, weight: float) -> Floats:
    """Shares of what was counted, along the last axis, and of a prior that weighs as much as so many counts."""
    total = np.add.reduce(counts, -1, keepdims=True)
    return (counts + (prior if weight == 1.0 else weight * prior)) / (total + weight)
