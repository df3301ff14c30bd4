"""Running means from 0 to 1 that start at a prior and move with what is seen, alone or one per agent."""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_WEIGHT = 2
LONGEST_WEIGHT = 20
MAX_AGENTS = 64


@dataclass(slots=True)
class Share:
    """The mean of the last few values, and how much it weighs."""

    mean: float
    weight: int = PRIOR_WEIGHT

    def see(self, value: float) -> None:
        self.weight = min(self.weight + 1, LONGEST_WEIGHT)
        self.mean += (value - self.mean) / self.weight


class Shares:
    """A share for each agent, as (mean, weight); the agent not seen for longest makes room."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self._means: dict[str, tuple[float, int]] = {}

    def __getitem__(self, agent: str) -> float:
        return self._means.get(agent, (self.prior, 0))[0]

    def see(self, agent: str, value: float) -> None:
        share = Share(*self._means.pop(agent, (self.prior, PRIOR_WEIGHT)))
        share.see(value)
        self._means[agent] = share.mean, share.weight
        if len(self._means) > MAX_AGENTS:
            del self._means[next(iter(self._means))]
