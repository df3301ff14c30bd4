"""Which agent comes next, given also where the session came from: what tells a pipeline from a debate of the same
agents. Kept for the pairs seen most lately only."""

from __future__ import annotations

NOWHERE = -1
MAX_PAIRS = 72
LARGEST = 40
"""A row that sums to more is halved, so that old traffic fades."""

Row = dict[int, int]
NOTHING: Row = {}
OTHER_FINISH = 1 << 20
"""What the keys of a pair's two rows differ by."""


class Pairs:
    """Counts of the next agent by (finish, the last other agent, agent); the pair not seen for longest makes room."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}

    def moved(self, finish: int, came_from: int, before: int, after: int) -> None:
        key = _key(finish, came_from, before)
        row = {**self._rows.pop(key, NOTHING)}  # whoever was told the old one keeps it
        row[after] = row.get(after, 0) + 1
        if sum(row.values()) > LARGEST:
            row = {agent: count // 2 for agent, count in row.items() if count > 1}
        self._rows[key] = row
        if len(self._rows) > MAX_PAIRS:
            del self._rows[next(iter(self._rows))]

    def rows(self, came_from: int, agent: int) -> tuple[Row, Row]:
        """By how the agent's response finished. Read only; they stay as they are."""
        key, rows = _key(0, came_from, agent), self._rows
        return rows.get(key, NOTHING), rows.get(key | OTHER_FINISH, NOTHING)

    def forget(self, agent: int) -> None:
        """A slot is taken over by another agent."""
        rows = self._rows.items()
        for key in [key for key, row in rows if agent in row or agent in (key & 1023, (key >> 10 & 1023) - 1)]:
            del self._rows[key]


def _key(finish: int, came_from: int, agent: int) -> int:
    return (finish << 10 | came_from + 1) << 10 | agent
