"""How fast the cache turns over, by Little's law: tokens missed per second over capacity; and how often sessions begin.

Both are counts that fade over a minute, over the seconds that such counts stand for.
"""

from __future__ import annotations

import math

SMOOTHING_S = 60.0
BOUNDS_PER_S = (1e-4, 5.0)
UNKNOWN_PER_S = 0.05


class Turnover:
    """`capacity_tokens` 0: not known yet. `horizons`: discount of reuse, in turnovers of the cache."""

    def __init__(self) -> None:
        self.capacity_tokens = 0
        self.horizons = 2.0
        self.now_s = -1.0
        self._begun_s = -1.0
        self._missed_tokens = 0.0
        self._new_sessions = 0.0

    def pass_time(self, now_s: float) -> None:
        """Let what was counted fade. Time never runs backwards."""
        if self._begun_s < 0:
            self._begun_s = self.now_s = now_s
        fade = math.exp(-max(0.0, now_s - self.now_s) / SMOOTHING_S)
        self._missed_tokens *= fade
        self._new_sessions *= fade
        self.now_s = max(self.now_s, now_s)

    def missed(self, tokens: int) -> None:
        self._missed_tokens += tokens

    def session_began(self) -> None:
        self._new_sessions += 1.0

    @property
    def beta_per_s(self) -> float:
        """The rate at which what is cached is displaced, times the horizons."""
        if not self.capacity_tokens:
            return UNKNOWN_PER_S
        beta = self.horizons * self._missed_tokens / self._window_s() / self.capacity_tokens
        return min(max(beta, BOUNDS_PER_S[0]), BOUNDS_PER_S[1])

    @property
    def sessions_per_s(self) -> float:
        return self._new_sessions / self._window_s()

    def _window_s(self) -> float:
        age_s = max(1.0, self.now_s - self._begun_s)
        return SMOOTHING_S * (1.0 - math.exp(-age_s / SMOOTHING_S))
