"""Running means from 0 to 1 that start at what is expected and move with what is seen, alone or one per agent."""

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
    """A share for each agent, by its slot. Of an agent of whom little was seen, what agents do lately is expected; of
    the first ones, `prior`."""

    def __init__(self, prior: float) -> None:
        self._of_all = Share(prior)
        self._means, self._seen = array("f"), array("B")

    def __getitem__(self, agent: int) -> float:
        if agent >= len(self._means):
            return self._of_all.mean
        seen = self._seen[agent]
        return (seen * self._means[agent] + PRIOR_WEIGHT * self._of_all.mean) / (seen + PRIOR_WEIGHT)

    def first(self, agents: int) -> list[float]:
        """The shares of agents 0 ... agents - 1."""
        of_all = self._of_all.mean
        expected, own = PRIOR_WEIGHT * of_all, zip(self._seen[:agents], self._means, strict=False)
        known = [(seen * mean + expected) / (seen + PRIOR_WEIGHT) for seen, mean in own]
        return known + [of_all] * (agents - len(known))

    def see(self, agent: int, value: float) -> None:
        while len(self._means) <= agent:
            self._means.append(0.0)
            self._seen.append(0)
        self._seen[agent] = seen = min(self._seen[agent] + 1, LONGEST_WEIGHT - PRIOR_WEIGHT)
        self._means[agent] += (value - self._means[agent]) / seen
        self._of_all.see(value)

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        if agent < len(self._means):
            self._seen[agent] = 0
