"""How long a session of an agent stays away between two requests, and whether it comes back at all."""

from __future__ import annotations

import msgspec

from ..bounded import Bounded

MAX_AGENTS = 1_024
GAP_GAIN, SPREAD_GAIN, RETURN_GAIN = 1 / 8, 1 / 4, 1 / 4
SPREADS = 4.0
"""Patience is the mean pause and so many mean deviations, as TCP waits for an acknowledgement."""
LEAST_S = 0.1
"""Patience with an agent whose sessions come back at all."""
ENOUGH = 4
"""Pauses seen before they are believed."""
HARDLY_EVER = 0.1
ALL = ""
"""Stands for all agents together."""


class _Habit(msgspec.Struct):
    """`gap_s`, `spread_s`: mean pause and mean deviation from it; `returns`: share of pauses that ended, lately."""

    gap_s: float = 0.0
    spread_s: float = 0.0
    seen: int = 0
    returns: float = 1.0

    def came_back(self, gap_s: float) -> None:
        if self.seen:
            self.spread_s += SPREAD_GAIN * (abs(gap_s - self.gap_s) - self.spread_s)
            self.gap_s += GAP_GAIN * (gap_s - self.gap_s)
        else:
            self.gap_s, self.spread_s = gap_s, gap_s / 2
        self.seen += 1
        self.returns += RETURN_GAIN * (1 - self.returns)

    def stayed_away(self) -> None:
        self.returns -= RETURN_GAIN * self.returns


class Returns:
    """Learned for each agent, of the sessions whose last request was the agent's, and for all together."""

    def __init__(self) -> None:
        self._habits: Bounded[str, _Habit] = Bounded(MAX_AGENTS)
        self._all = _Habit()

    def came_back(self, agent: str, gap_s: float) -> None:
        """A session was asked for again, `gap_s` after the answer to `agent`."""
        gap_s = max(0.0, gap_s)
        self._all.came_back(gap_s)
        self._of(agent).came_back(gap_s)

    def stayed_away(self, agent: str) -> None:
        """A session was not asked for again in as long as patience lasts."""
        self._all.stayed_away()
        self._of(agent).stayed_away()

    def patience_s(self, agent: str, most_s: float) -> float:
        """How long after an answer to `agent` its session is worth waiting for, `most_s` at most."""
        habit = self._habits.get(agent) or self._all
        if habit.returns < HARDLY_EVER:
            return 0.0
        if habit.seen < ENOUGH:
            habit = self._all
        if habit.seen < ENOUGH:
            return most_s
        return min(most_s, max(LEAST_S, habit.gap_s + SPREADS * habit.spread_s))

    def _of(self, agent: str) -> _Habit:
        return self._habits.get(agent) or self._habits.put(agent, _Habit())
