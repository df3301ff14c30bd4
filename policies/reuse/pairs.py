"""Which agent comes next, given also where the session came from: what tells a pipeline from a debate of the same
agents. Kept for the pairs seen most lately only."""

from __future__ import annotations

from typing import NamedTuple

NOWHERE = -1
MAX_PAIRS = 72
LARGEST = 40
"""A row that sums to more is halved, so that old traffic fades."""

Row = dict[int, int]
NOTHING: Row = {}
RETURNED, OTHER_FINISH = 1 << 20, 1 << 21
"""What the keys of a pair's rows differ by."""
LEAST_WEIGHT, MOST_WEIGHT = 1.0, 32.0
"""Of what all rows have in common, against a row's own counts."""
UNLIKE, UNLIKE_WEIGHT = 0.5, 8.0
"""How much alike two responses of one row are taken to be beyond those of two rows, until so many twos were seen."""


class Back(NamedTuple):
    """How often a session goes back to the agent it came from, by all pairs together; `weight`: in counts."""

    share: float
    weight: float


class Pairs:
    """Counts of the next agent by (finish, the last other agent, agent), and by whether the session had come there from
    that same agent: after A, B, A it has `returned`. The pair not seen for longest makes room."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}

    def moved(self, finish: int, came_from: int, before: int, after: int, *, returned: bool = False) -> None:
        key = _key(came_from, before, returned) | finish * OTHER_FINISH
        row = {**self._rows.pop(key, NOTHING)}  # whoever was told the old one keeps it
        row[after] = row.get(after, 0) + 1
        if sum(row.values()) > LARGEST:
            row = {agent: count // 2 for agent, count in row.items() if count > 1}
        self._rows[key] = row
        if len(self._rows) > MAX_PAIRS:
            del self._rows[next(iter(self._rows))]

    def rows(self, came_from: int, agent: int, *, returned: bool = False) -> tuple[Row, Row]:
        """By how the agent's response finished. Read only; they stay as they are."""
        key, rows = _key(came_from, agent, returned), self._rows
        return rows.get(key, NOTHING), rows.get(key | OTHER_FINISH, NOTHING)

    def still(self) -> Pairs:
        """The same as they are now: a row that changes becomes another one."""
        still = Pairs()
        still._rows = self._rows.copy()
        return still

    def back(self) -> list[Back]:
        """By `back_of`. The less rows differ in this, the more what is common weighs: they are taken for beta-binomial,
        and their correlation is estimated by moments."""
        seen: list[list[tuple[int, int]]] = [[], [], [], []]
        for key, row in self._rows.items():
            came_from = (key >> 10 & 1023) - 1
            if came_from != NOWHERE:
                seen[key >> 20].append((row.get(came_from, 0), sum(row.values())))
        return [_back(one) for one in seen]

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        rows = self._rows.items()
        for key in [key for key, row in rows if agent in row or agent in (key & 1023, (key >> 10 & 1023) - 1)]:
            del self._rows[key]


def back_of(finish: int, returned: bool) -> int:
    return finish << 1 | returned


def _back(seen: list[tuple[int, int]]) -> Back:
    """`seen`: of each row, how many responses of how many led back."""
    share = (sum(back for back, _ in seen) + 0.1) / (sum(count for _, count in seen) + 1.0)
    chance = share * (1.0 - share)
    spread = sum((back - count * share) ** 2 - count * chance for back, count in seen)
    twos = sum(count * (count - 1) for _, count in seen)
    correlation = max(0.0, (spread / chance + UNLIKE * UNLIKE_WEIGHT) / (twos + UNLIKE_WEIGHT))
    weight = 1.0 / max(correlation, 1.0 / (1.0 + MOST_WEIGHT)) - 1.0
    return Back(share, max(weight, LEAST_WEIGHT))


def _key(came_from: int, agent: int, returned: bool) -> int:
    return returned << 20 | came_from + 1 << 10 | agent
