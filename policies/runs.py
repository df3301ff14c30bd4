"""How long requests run, by agent, and beyond what time one that still runs is taken for lost."""

from __future__ import annotations

import numpy as np

from .transitions import Floats

TYPICAL_S = 0.3
"""What a request of an agent is taken to last before one has been seen."""
LEARNS = 0.1
FADE = 0.999
"""Per request: the longest one that was seen lately counts a little less with each."""
LEAST_LIMIT_S = 60.0
LIMIT = 4.0


class Runs:
    """`typical_s[slot]`: seconds from an agent's dispatch to its response, a moving mean."""

    def __init__(self) -> None:
        self.typical_s: Floats = np.zeros(0, np.float32)
        self._longest_s = 0.0

    def grow(self) -> None:
        """One more agent."""
        self.typical_s = np.append(self.typical_s, np.float32(TYPICAL_S))

    def forget(self, agent: int) -> None:
        self.typical_s[agent] = TYPICAL_S

    def took(self, agent: int, run_s: float) -> None:
        """A request of the agent took so long."""
        self.typical_s[agent] += LEARNS * (run_s - self.typical_s[agent])
        self._longest_s = max(run_s, FADE * self._longest_s)

    @property
    def limit_s(self) -> float:
        """Whoever runs for longer than this will not be heard of again: far longer than any request took lately."""
        return max(LEAST_LIMIT_S, LIMIT * self._longest_s)
