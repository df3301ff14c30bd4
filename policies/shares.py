"""Running means from 0 to 1 that start at what is expected and move with what is seen, alone or one per agent."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

PRIOR_WEIGHT = 2
LONGEST_WEIGHT = 20
DOUBTED = 0.01
"""The one of two ways is taken to be right so often, however seldom it was: else it would take as long to learn that it
is again."""
FIRST_FEW = 4
"""Values of an agent that tell what to expect of a new one."""
OWN = tuple(seen / (seen + PRIOR_WEIGHT * (1.0 - seen / LONGEST_WEIGHT)) for seen in range(LONGEST_WEIGHT + 1))
"""How much the mean of so many values of an agent counts against what is expected of a new one."""


@dataclass(slots=True)
class Share:
    """The mean of the last few values, and how much it weighs."""

    mean: float
    weight: int = PRIOR_WEIGHT

    def see(self, value: float) -> None:
        self.weight = min(self.weight + 1, LONGEST_WEIGHT)
        self.mean += (value - self.mean) / self.weight

    def see_which(self, one: float, other: float) -> None:
        """Something happened that is so likely in one of two ways, and in the other one; the share is of the one
        (expectation-maximization for mixtures: Dempster, Laird and Rubin, 1977)."""
        before = max(self.mean, DOUBTED)
        one, other = before * one, (1.0 - before) * other
        self.see(one / (one + other))


class Shares:
    """A share for each agent, by its slot. Of an agent of whom little was seen it is what others showed at first, of
    the first ones `prior`; the more is seen of an agent itself, the less that counts."""

    def __init__(self, prior: float) -> None:
        self._at_first = Share(prior)
        self._means, self._seen = array("f"), array("B")

    def __getitem__(self, agent: int) -> float:
        expected = self._at_first.mean
        if agent >= len(self._seen):
            return expected
        return expected + OWN[self._seen[agent]] * (self._means[agent] - expected)

    def first(self, agents: int) -> list[float]:
        """The shares of agents 0 ... agents - 1."""
        expected = self._at_first.mean
        seen_of = zip(self._seen[:agents], self._means, strict=False)
        known = [expected + OWN[seen] * (mean - expected) for seen, mean in seen_of]
        return known + [expected] * (agents - len(known))

    def see(self, agent: int, value: float) -> None:
        while len(self._means) <= agent:
            self._means.append(0.0)
            self._seen.append(0)
        self._seen[agent] = seen = min(self._seen[agent] + 1, LONGEST_WEIGHT)
        self._means[agent] += (value - self._means[agent]) / seen
        if seen <= FIRST_FEW:
            self._at_first.see(value)

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        if agent < len(self._seen):
            self._seen[agent] = 0
