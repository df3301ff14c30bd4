"""What follows a response in general, whoever gave it: an end, the same agent again, or another, by how it finished.

That is expected of every agent until it shows otherwise: what a tool returns goes to the agent that asked for it in any
workflow, and need not be learned of each agent anew.
"""

from __future__ import annotations

import numpy as np

from .backoff import backed_off
from .transitions import ANSWER, FINISHES, TOOL, Floats, Ints
from .weights import Weights

END, AGAIN, OTHER = 0, 1, 2
LARGEST = 6e4
"""What half precision holds."""
UNSEEN: Floats = np.array([0.1, 0.3, 0.6], np.float32)
"""Shares of the three while nothing was seen; they weigh as much as one response."""


class Habits:
    """What one fit says. An agent of whom nothing is known is expected to be followed by an end or by others as agents
    are on the mean, and by itself; or, as far as sessions do not go on to agents that were `met` before, by a stranger.
    Of an agent that is known the finish class shifts the odds of an end and of itself as it does for all agents. How
    much both weighs is by `weights`.

    `_columns`: what is expected of any agent, in counts, `[1 + agents]`, and what each finish makes of it; `_again`:
    the same for an agent to follow itself; `_unmet`: for one nobody has met. In half precision where it is long."""

    __slots__ = ("_again", "_columns", "_unmet")

    def __init__(self, counts: Floats, marginal: Floats, met: float, weights: Weights) -> None:
        seen = _kinds(counts)
        overall = backed_off(seen.sum(0), UNSEEN, 1.0)
        ratios = backed_off(seen, overall, 1.0) / overall
        expected, *shifts = self._columns = np.empty((1 + FINISHES, len(marginal)), np.float16)
        expected[0], expected[1:] = overall[END], marginal[1:] * (met * overall[OTHER] / (1.0 - marginal[0]))
        expected *= weights.agent
        self._unmet = float((1.0 - met) * overall[OTHER]) * weights.agent
        for shift, ratio in zip(shifts, np.minimum(weights.finish * ratios, LARGEST), strict=True):
            shift[0], shift[1:] = ratio[END], ratio[OTHER]
        self._again: list[float] = [
            weights.agent * float(overall[AGAIN]),
            *(ratios[:, AGAIN] / ratios[:, OTHER]).tolist(),
        ]

    def following(self, counts: Floats, agents: Ints) -> tuple[Floats, Floats, Floats]:
        """What follows these agents, of whom that was counted `[finish, agent, 1 + agents]`: the probability of each
        next agent and of an end, however a response finished; for each finish to what they are in proportion; and to
        what an agent that nobody has met is, `[finish, agent]`."""
        itself, again, columns = (np.arange(len(agents)), agents + 1), self._again, self._columns
        overall = counts[ANSWER] + counts[TOOL]
        overall += columns[0]
        overall[itself] += again[0]
        total = np.add.reduce(overall, -1)
        total += self._unmet
        overall /= total[:, None]
        by_finish = overall * columns[1:, None]
        for rows, factor in zip(by_finish, again[1:], strict=True):
            rows[itself] *= factor
        by_finish += counts
        return overall, by_finish, columns[1:, 1, None] * (self._unmet / total)

    def after(self, told: bytes, agents: Ints) -> tuple[Floats, Floats]:
        """What follows these agents by such counts of them (see Transitions.of), one after the other: the probability
        of an end `[finish, agent]`, the last row however it finished; and of each next agent if there is one
        `[finish, agent, next]`, which sum to at most 1: the rest goes to an agent nobody has met."""
        counts = np.frombuffer(told, np.float16).reshape(len(agents), FINISHES, -1)
        overall, by_finish, unmet = self.following(counts.transpose(1, 0, 2).astype(np.float32, "C"), agents)
        ends = np.empty((FINISHES + 1, len(agents)), np.float32)
        ends[FINISHES] = overall[:, 0]
        moving = by_finish[:, :, 1:]
        moved = np.maximum(np.add.reduce(moving, -1) + unmet, 1e-9)
        np.divide(by_finish[:, :, 0], by_finish[:, :, 0] + moved, out=ends[:FINISHES])
        moving /= moved[:, :, None]
        return ends, moving


def _kinds(counts: Floats) -> Floats:
    """How often a session ended, went on with the same agent, and with another one, `[finish, 3]`."""
    ends, again = np.add.reduce(counts[:, :, 0], -1), np.einsum("faa->f", counts[:, :, 1:])
    return np.stack([ends, again, np.add.reduce(counts, (1, 2)) - ends - again], 1)
