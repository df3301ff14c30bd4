"""Which agent comes next: dispatch counts from agent to agent within a session, decayed, with START and END, split by
how the last response finished. Agents are small slot numbers here; the policy knows their names.

What an agent's few counts leave open is filled in by what all agents do, see `habits`. Decay is per row, so an agent
that is rarely dispatched does not lose what is known of it to the traffic of others. What was counted of a row in
between, `since`, makes a late count fade as if it had been in time, see `open_turns`.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shares import Share
from .backoff import backed_off
from .distances import Distances
from .pairs import Pairs
from .team import without
from .weights import Weighing

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

ANSWER, TOOL = 0, 1
FINISHES = 2
"""Finish classes: the last response was a final message (or nobody said), or it asked for tools."""

SPAN, LONGEST_SPAN = 67, 500
"""Counts that a row is made of: each further one makes one of so many fade. They are twice as many as pass while its
turns are open, where that is more: else what came of turns would be forgotten before it is known. More than the longest
would not fade evenly in half precision."""
AGENT_WEIGHT = 1.0
PAIR_WEIGHT = 2.0
GROWTH = 8
FIRST_WEIGHT = 8
"""Sessions taken to have begun with agents that had been met, before any did: at first all agents are new."""


class Transitions:
    """Counts `[finish, from, to]`: row 0 is START, row i + 1 agent i; column 0 is END, column j + 1 agent j.
    `met`: where a session went on as none had before, how often to an agent that others had met; `met_first`: how often
    a session begins with one that others had met; `own`: how often it goes on to any of the agents that it had before
    (see `team`), rather than to where sessions go; `weighing`: how much the counts of one agent say; `distances`: where
    they go by how lately they were there."""

    def __init__(self) -> None:
        self.agents = 0
        self.pairs = Pairs()
        self.distances = Distances()
        self.met = Share(0.5)
        self.met_first = Share(1.0, weight=FIRST_WEIGHT)
        self.own = Share(0.2)
        self.weighing = Weighing()
        self._known = 0
        self._counts: Floats = np.zeros((FINISHES, 1, 1), np.float16)
        self._seen: Ints = np.zeros((FINISHES, 1), np.int32)
        self._span: Ints = np.full((FINISHES, 1), SPAN, np.uint16)
        self._more_ends: Floats = np.zeros((FINISHES, 1), np.float16)
        self._predictability: float | None = None

    def grow(self, agents: int) -> None:
        """Make room for agents 0 ... agents - 1."""
        if agents > self._counts.shape[1] - 1:
            size = 1 + -(-agents // GROWTH) * GROWTH
            more = size - self._counts.shape[1]
            self._counts = np.pad(self._counts, ((0, 0), (0, more), (0, more)))
            self._seen = np.pad(self._seen, ((0, 0), (0, more)))
            self._span = np.pad(self._span, ((0, 0), (0, more)), constant_values=SPAN)
            self._more_ends = np.pad(self._more_ends, ((0, 0), (0, more)))
        self.agents, self._predictability = max(self.agents, agents), None

    def forget(self, agent: int) -> None:
        """Drop all counts of a slot that another agent takes over."""
        self._counts[:, agent + 1, :] = self._more_ends[:, agent + 1, None] = 0
        self._counts[:, :, agent + 1] = 0
        self.pairs.forget(agent)
        self._known &= ~(1 << agent)
        self._predictability = None

    def has_met(self, agent: int) -> bool:
        """Whether a session began with the agent or went on to it."""
        return bool(self._known >> agent & 1)

    def started(self, agent: int) -> None:
        """A session began with this agent."""
        self.met_first.see(float(self.has_met(agent)))
        self._known |= 1 << agent
        self._count(ANSWER, 0, agent + 1)

    def seen(self, finish: int, agent: int) -> int:
        """How often it was counted what followed the agent's responses that finished so."""
        return int(self._seen[finish, agent + 1])

    def weight(self, finish: int, agent: int, since: int | None) -> float:
        """What a turn weighs that began when so many had been `seen`; None: now."""
        return 1.0 if since is None else keeps(self._span[finish, agent + 1]) ** (self.seen(finish, agent) - since)

    def waited(self, finish: Ints, agents: Ints, since: Ints) -> Ints:
        """How often each of these was counted since so many had been `seen`."""
        return self._seen[finish, agents + 1] - since

    def weights(self, finish: Ints, agents: Ints, waited: Ints) -> Floats:
        """See `weight`, of many turns."""
        return (1.0 - 1.0 / self._span[finish, agents + 1]) ** waited

    def open(self, turns: Floats, over: Floats, span: Ints) -> None:
        """Of so many turns that nothing has followed yet, so many are likely over, `[finish, agent]`; `span`: what
        their rows are made of from now on. Ends are counted so that they have the share that they would have if it
        were known, which makes no difference to where sessions go that go on."""
        expected = AGENT_WEIGHT * float(self.marginal()[0])
        counts = self._counts[:, 1 : self.agents + 1].astype(np.float32)
        ended = counts[:, :, 0] + expected
        moved = np.add.reduce(counts, -1) + AGENT_WEIGHT - ended
        self._span[:, 1 : self.agents + 1] = span
        self._more_ends[:, 1 : self.agents + 1] = moved * (ended + over) / (moved + turns - over) - ended
        self._predictability = None

    def moved(
        self,
        finish: int,
        came_from: int,
        before: int,
        after: int,
        *,
        returned: bool = False,
        team: int = 0,
        since: int | None = None,
    ) -> None:
        """A session went from one agent's response to a dispatch of another (or the same); `came_from`: the last other
        agent it had been at, or NOWHERE; `returned`: it had come there from `before`; `team`: all it had been at."""
        of_agent = self._counts[:, before + 1]
        again, moved = of_agent[:, before + 1].tolist(), np.add.reduce(of_agent[:, 1:], -1).tolist()
        self.weighing.see(finish, again, moved, stays=after == before)
        if after != before:
            self.pairs.moved(finish, came_from, before, after, returned=returned)
            if after != came_from:
                self._elsewhere(came_from, before, after, team)
        self._count(finish, before + 1, after + 1, self.weight(finish, before, since))

    def _elsewhere(self, came_from: int, before: int, after: int, team: int) -> None:
        """A session went on to another agent than it had come from: whether others had met that one, if none had gone
        there from here; and how far that is explained by its being one of the session's own, rather than by where
        sessions go from here."""
        row = self._counts[ANSWER, before + 1] + self._counts[TOOL, before + 1]
        seen = float(row[after + 1])
        if not seen:
            self.met.see(float(self.has_met(after)))
            self._known |= 1 << after
        others = without(team, before, came_from)
        if others:
            elsewhere = float(row[1:].sum() - row[before + 1]) - (float(row[came_from + 1]) if came_from >= 0 else 0.0)
            by_row = (seen + 1.0 / self.agents) / (elsewhere + 1.0)
            self.own.see_which((others >> after & 1) / others.bit_count(), by_row)

    def ended(self, finish: int, agent: int, since: int | None = None) -> None:
        """A session ended after this agent's response."""
        self._count(finish, agent + 1, 0, self.weight(finish, agent, since))

    def not_ended(self, finish: int, agent: int, since: int | None = None) -> None:
        """A session that was taken for ended came back."""
        count = self._counts[finish, agent + 1]
        count[0] = max(0.0, count[0] - self.weight(finish, agent, since))
        self._predictability = None

    def _count(self, finish: int, row: int, column: int, weight: float = 1.0) -> None:
        counts = self._counts[finish, row]
        counts *= keeps(self._span[finish, row])
        counts[column] += weight
        self._seen[finish, row] += 1
        self._predictability = None

    def following(self, counts: Floats | None = None) -> Floats:
        """Probability of what follows each agent, however its response finished: `[from, 1 + agents]`, column 0 is the
        end of the session. Rows sum to 1."""
        counts = self.counts() if counts is None else counts
        return backed_off(counts.sum(0), self.marginal(counts), AGENT_WEIGHT)

    def still(self) -> Transitions:
        """The same as it is now, whatever is counted later."""
        still = copy(self)
        still._counts, still.pairs, still.met = self._counts.copy(), self.pairs.still(), copy(self.met)
        still.met_first, still.own, still._more_ends = copy(self.met_first), copy(self.own), self._more_ends.copy()
        return still

    def counts(self) -> Floats:
        """What is counted of each agent's responses, `[finish, from, 1 + agents]`; whoever has asked can tell it to
        others of these methods."""
        size = self.agents + 1
        counts = self._counts[:, 1:size, :size].astype(np.float32)
        counts[:, :, 0] = np.maximum(0.0, counts[:, :, 0] + self._more_ends[:, 1:size])
        return counts

    def of(self, agent: int, agents: int) -> bytes:
        """What is counted of one agent's responses, of the first `agents` to follow."""
        counts = self._counts[:, agent + 1, : agents + 1].copy()
        counts[:, 0] = np.maximum(0.0, counts[:, 0] + self._more_ends[:, agent + 1])
        return counts.tobytes()

    def finishes(self, counts: Floats | None = None) -> Floats:
        """How often each agent's responses finish in each way, `[finish, agent]`; columns sum to 1."""
        seen: Floats = (self.counts() if counts is None else counts).sum(-1)
        overall = (seen.sum(1, keepdims=True) + 0.5) / (seen.sum() + 0.5 * FINISHES)
        return (seen + AGENT_WEIGHT * overall) / (seen.sum(0) + AGENT_WEIGHT)

    def first(self, marginal: Floats | None = None) -> Floats:
        """Probability of each agent to begin a session; they sum to at most 1, the rest is for agents nobody has met.
        That rest is taken from the counts of all alike, as far as they go (absolute discounting; Ney, Essen and Kneser,
        1994): where most sessions begin with somebody new, who began one once is not expected to again."""
        met = self.met_first.mean
        counts = self._counts[ANSWER, 0, 1 : self.agents + 1].astype(np.float32)
        total = float(counts.sum())
        counts -= np.minimum(counts, _level(counts, (1.0 - met) * total))
        marginal = (self.marginal() if marginal is None else marginal)[1:]
        return (counts + AGENT_WEIGHT * met * (marginal / marginal.sum())) / (total + AGENT_WEIGHT)

    def marginal(self, counts: Floats | None = None) -> Floats:
        """Probability of each agent, and of an end, to be what follows a response, whoever gave it."""
        flat = np.full(self.agents + 1, 1.0 / (self.agents + 1), np.float32)
        return backed_off((self.counts() if counts is None else counts).sum(0).sum(0), flat, AGENT_WEIGHT)

    def predictability(self) -> float:
        """1 - H(next agent | this one) / H(next agent), from the backed-off rows, so that few counts do not look
        certain: 0 to 1. 0 where the next agent is certain anyway: then the present one tells nothing about it. It is
        asked for whenever something is predicted, and counted anew only once counts have changed."""
        if self._predictability is None:
            self._predictability = self._counted_predictability()
        return self._predictability

    def _counted_predictability(self) -> float:
        counts = self.counts()
        weights = counts.sum(0)[:, 1:].sum(1)
        total = float(weights.sum())
        moving = self.following(counts)[:, 1:]
        rows = moving / moving.sum(1, keepdims=True)
        if total <= 0:
            return 0.0
        overall = _entropy((weights[:, None] * rows).sum(0) / total)
        given = float((weights * np.array([_entropy(row) for row in rows])).sum() / total)
        return min(1.0, max(0.0, 1.0 - given / overall)) if overall > 1e-6 else 0.0


def keeps(span: int) -> float:
    """What is left of what was counted before, after one count of a row of that span."""
    return 1.0 - 1.0 / span


def first_passage(step: Floats) -> Floats:
    """Expected discount until agent a is dispatched next, starting at a dispatch of agent i, of a chain whose steps
    `[i, j]` are discounted probabilities (rows sum to less than 1)."""
    visits = np.linalg.inv(np.eye(len(step)) - step)
    return ((visits - np.eye(len(step))) / np.diag(visits)).astype(np.float32)


def _level(counts: Floats, amount: float) -> float:
    """What to take of each count, or all of it where it is less, to take so much of all; that is at most their sum."""
    ordered = np.sort(counts)
    left = np.arange(len(ordered), 0, -1)
    levels = (amount - (np.cumsum(ordered) - ordered)) / left
    enough = np.flatnonzero(levels <= ordered)
    return float(levels[enough[0]]) if len(enough) else math.inf


def _entropy(row: Floats) -> float:
    positive = row[row > 0]
    return float(-(positive * np.log(positive)).sum())
