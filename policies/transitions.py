"""Which agent comes next: dispatch counts from agent to agent within a session, decayed, with START and END, split by
how the last response finished. Agents are small slot numbers here; the policy knows their names.

A row is backed off twice: (agent, finish) to the agent, the agent to all dispatches. Decay is per row, so an agent that
is rarely dispatched does not lose what is known of it to the traffic of others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]

ANSWER, TOOL = 0, 1
FINISHES = 2
"""Finish classes: the last response was a final message (or nobody said), or it asked for tools."""

DECAY = 0.985
AGENT_WEIGHT = 1.0
FINISH_WEIGHT = 2.0
GROWTH = 8


class Transitions:
    """Counts `[finish, from, to]`: row 0 is START, row i + 1 agent i; column 0 is END, column j + 1 agent j."""

    def __init__(self) -> None:
        self.agents = 0
        self._counts: Floats = np.zeros((FINISHES, 1, 1), np.float32)

    def grow(self, agents: int) -> None:
        """Make room for agents 0 ... agents - 1."""
        if agents > self._counts.shape[1] - 1:
            size = 1 + -(-agents // GROWTH) * GROWTH
            larger = np.zeros((FINISHES, size, size), np.float32)
            old = self._counts.shape[1]
            larger[:, :old, :old] = self._counts
            self._counts = larger
        self.agents = max(self.agents, agents)

    def forget(self, agent: int) -> None:
        """Drop all counts of a slot that another agent takes over."""
        self._counts[:, agent + 1, :] = 0
        self._counts[:, :, agent + 1] = 0

    def started(self, agent: int) -> None:
        """A session began with this agent."""
        self._count(ANSWER, 0, agent + 1)

    def moved(self, finish: int, before: int, after: int) -> None:
        """A session went from one agent's response to a dispatch of another (or the same)."""
        self._count(finish, before + 1, after + 1)

    def ended(self, finish: int, agent: int) -> None:
        """A session ended after this agent's response."""
        self._count(finish, agent + 1, 0)

    def not_ended(self, finish: int, agent: int) -> None:
        """A session that was taken for ended came back."""
        count = self._counts[finish, agent + 1]
        count[0] = max(0.0, count[0] - 1.0)

    def _count(self, finish: int, row: int, column: int) -> None:
        counts = self._counts[finish, row]
        counts *= DECAY
        counts[column] += 1.0

    def probabilities(self) -> tuple[Floats, Floats, Floats]:
        """(by finish, whatever the finish, of a first agent): `[finish, from, 1 + agents]`, `[from, 1 + agents]` and
        `[agents]`; column 0 is the end of the session. Rows sum to 1."""
        size = self.agents + 1
        counts = self._counts[:, :size, :size]
        by_agent = counts[:, 1:].sum(0)
        marginal = self._marginal(by_agent)
        mixed = _backed_off(by_agent, marginal, AGENT_WEIGHT)
        by_finish = _backed_off(counts[:, 1:], mixed, FINISH_WEIGHT)
        first = _backed_off(counts[0, 0, 1:], marginal[1:] / marginal[1:].sum(), AGENT_WEIGHT)
        return by_finish, mixed, first

    def _marginal(self, by_agent: Floats) -> Floats:
        flat = np.full(self.agents + 1, 1.0 / (self.agents + 1), np.float32)
        return _backed_off(by_agent.sum(0), flat, AGENT_WEIGHT)

    def predictability(self) -> float:
        """1 - H(next agent | this one) / H(next agent), from the backed-off rows, so that few counts do not look
        certain: 0 to 1."""
        _, mixed, _ = self.probabilities()
        weights = self._counts[:, 1 : self.agents + 1, 1 : self.agents + 1].sum((0, 2))
        total = float(weights.sum())
        rows = mixed[:, 1:] / np.maximum(mixed[:, 1:].sum(1, keepdims=True), 1e-9)
        if total <= 0:
            return 0.0
        overall = _entropy((weights[:, None] * rows).sum(0) / total)
        given = float((weights * np.array([_entropy(row) for row in rows])).sum() / total)
        return min(1.0, max(0.0, 1.0 - given / overall)) if overall > 1e-6 else 1.0


def first_passage(step: Floats) -> Floats:
    """Expected discount until agent a is dispatched next, starting at a dispatch of agent i, of a chain whose steps
    `[i, j]` are discounted probabilities (rows sum to less than 1)."""
    visits = np.linalg.inv(np.eye(len(step)) - step)
    return ((visits - np.eye(len(step))) / np.diag(visits)).astype(np.float32)


def _backed_off(counts: Floats, prior: Floats, weight: float) -> Floats:
    return (counts + weight * prior) / (counts.sum(-1, keepdims=True) + weight)


def _entropy(row: Floats) -> float:
    positive = row[row > 0]
    return float(-(positive * np.log(positive)).sum())
