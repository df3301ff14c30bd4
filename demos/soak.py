"""Whether memory stays flat: the growth of a long series with its confidence, and whether what lives stays bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BLOCKS = 20
"""A series is averaged over so many stretches first, for its neighbours are not independent."""
STUDENT_95 = {1: 12.71, 2: 4.3, 3: 3.18, 4: 2.78, 6: 2.45, 8: 2.31, 10: 2.23, 14: 2.14, 18: 2.1}
"""Student's t for 95 % by degrees of freedom; of those between the next lower one, which errs to the safe side."""
SETTLING = 1 / 3
"""This share of a series at its begin is left out: caches and the log fill."""


@dataclass(frozen=True)
class Growth:
    """Per hour, 95 % certain within `plus_minus`, which is infinite of too short a series. `level`: the mean."""

    per_hour: float
    plus_minus: float
    level: float

    @property
    def at_most(self) -> float:
        """The upper end."""
        return self.per_hour + self.plus_minus


def growth(values: Sequence[float], every_s: float) -> Growth:
    """Least-squares growth of the settled part of a series, one value each `every_s`. Raises ValueError if empty."""
    if not values:
        raise ValueError("growth of nothing")
    settled = list(values[int(len(values) * SETTLING) :])
    number = min(BLOCKS, len(settled))
    edges = [len(settled) * place // number for place in range(number + 1)]
    means = [sum(settled[low:high]) / (high - low) for low, high in pairwise(edges)]
    block_h = len(settled) / number * every_s / 3600
    level = sum(means) / number
    if number < 3:
        return Growth(0.0, math.inf, level)
    centre = (number - 1) / 2
    spread = sum((place - centre) ** 2 for place in range(number))
    slope = sum((place - centre) * (mean - level) for place, mean in enumerate(means)) / spread
    left = sum((mean - level - slope * (place - centre)) ** 2 for place, mean in enumerate(means))
    error = math.sqrt(left / (number - 2) / spread)
    student = STUDENT_95[max(freedom for freedom in STUDENT_95 if freedom <= number - 2)]
    return Growth(slope / block_h, student * error / block_h, level)


def beyond(live: Sequence[Mapping[str, int]], bounds: Mapping[str, int]) -> list[str]:
    """What was ever more than its bound, or has none: state that may grow without an end."""
    names = sorted({name for sizes in live for name in sizes})
    return [name for name in names if max(sizes.get(name, 0) for sizes in live) > bounds.get(name, -1)]
