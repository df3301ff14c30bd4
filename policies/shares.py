"""Running means from 0 to 1 that start at a prior and move with what is seen, alone or one per agent."""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_WEIGHT = 2.0
LONGEST_WEIGHT = 20.0
MAX_AGENTS = 64


@dataclass(slots=True)
class Share:
    """The mean of the last few values, and how much it weighs."""

    mean: float
    weight: float = PRIOR_WEIGHT

    def see(self, value: float) -> None:
        self.weight = min(self.weight + 1.0, LONGEST_WEIGHT)
        self.mean += (value - self.mean) / self.weight


class Shares:
    """A share for each agent; the agent not seen for longest makes room."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self._shares: dict[str, Share] = {}

    def __getitem__(self, agent: str) -> float:
        share = self._shares.get(agent)
        return self.prior if share is None else share.mean

    def see(self, agent: str, value: float) -> None:
        share = self._shares.pop(agent, None) or Share(self.prior)
        self._shares[agent] = share
        share.see(value)
        if len(self._shares) > MAX_AGENTS:
            del self._shares[next(iter(self._shares))]
