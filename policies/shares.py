"""Running means from 0 to 1 that start at a prior and move with what is seen, alone or one per agent."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

PRIOR_WEIGHT = 2
LONGEST_WEIGHT = 20


@dataclass(slots=True)
class Share:
    """The mean of the last few values, and how much it weighs."""

    mean: float
    weight: int = PRIOR_WEIGHT

    def see(self, value: float) -> None:
        self.weight = min(self.weight + 1, LONGEST_WEIGHT)
        self.mean += (value - self.mean) / self.weight


class Shares:
    """A share for each agent, by its slot."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self._means, self._weights = array("f"), array("B")

    def __getitem__(self, agent: int) -> float:
        return self._means[agent] if agent < len(self._means) else self.prior

    def first(self, agents: int) -> list[float]:
        """The shares of agents 0 ... agents - 1."""
        known = self._means[:agents].tolist()
        return known + [self.prior] * (agents - len(known))

    def see(self, agent: int, value: float) -> None:
        while len(self._means) <= agent:
            self._means.append(self.prior)
            self._weights.append(PRIOR_WEIGHT)
        self._weights[agent] = weight = min(self._weights[agent] + 1, LONGEST_WEIGHT)
        self._means[agent] += (value - self._means[agent]) / weight

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        if agent < len(self._means):
            self._means[agent], self._weights[agent] = self.prior, PRIOR_WEIGHT
