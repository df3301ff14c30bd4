"""Running means per agent that start at a prior and move with what is seen."""

from __future__ import annotations

PRIOR_WEIGHT = 2.0
LONGEST_WEIGHT = 20.0
MAX_AGENTS = 64


class Shares:
    """A share from 0 to 1 for each agent; the agent not seen for longest makes room."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self._means: dict[str, tuple[float, float]] = {}

    def __getitem__(self, agent: str) -> float:
        return self._means.get(agent, (self.prior, 0.0))[0]

    def see(self, agent: str, value: float) -> None:
        mean, weight = self._means.pop(agent, (self.prior, PRIOR_WEIGHT))
        weight = min(weight + 1.0, LONGEST_WEIGHT)
        self._means[agent] = (mean + (value - mean) / weight, weight)
        if len(self._means) > MAX_AGENTS:
            del self._means[next(iter(self._means))]
