"""How long requests run, by agent, and beyond what time one that still runs is taken for lost: SGLang does not tell of
each that was aborted."""

from __future__ import annotations

import numpy as np

from .transitions import Floats

TYPICAL_S = 0.3
"""What a request of an agent is taken to last before one has been seen."""
LEARNS = 0.1
FADE = 0.999
"""Per request: the longest one that was seen lately counts a little less with each."""
LIMIT = 4.0
"""Whoever runs for so many times the longest request lately will not be heard of again."""
LEAST_LIMIT_S = 60.0
LEAST_LOST_S = 5.0
"""The same, where the session meanwhile asks for something else."""


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
        """A session that runs for longer than this is taken for ended."""
        return max(LEAST_LIMIT_S, LIMIT * self._longest_s)

    def lost(self, agent: int, run_s: float) -> float | None:
        """How long a request of the agent likely took that has not finished after so long, though its session asks for
        something else; None where it may well run beside that."""
        return float(self.typical_s[agent]) if run_s > max(LEAST_LOST_S, LIMIT * self._longest_s) else None
