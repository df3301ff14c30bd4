"""How long each agent's last prompt in each session was: of the latest few dozen, in a ring of plain numbers."""

from __future__ import annotations

from array import array

import numpy as np

from .tags import tag_of
from .transitions import Ints

ROWS = 80
"""Prompts remembered. What came back after more dispatches than that is not learned from."""
MOST_TOKENS = 0xFFFF
"""Outputs and losses are told up to this length."""
NOBODYS = 0xFFFF


class Lengths:
    """Rows by place of a session and slot of an agent: tokens of the prompt, of the output behind it (0: not known),
    and of the history evicted since; and a tag that tells whether a request is the one meant."""

    def __init__(self) -> None:
        self._keys: Ints = np.full(ROWS, NOBODYS, np.uint16)
        self._tags, self._prompts = array("H", bytes(2 * ROWS)), array("I", bytes(4 * ROWS))
        self._outputs, self._lost = array("H", bytes(2 * ROWS)), array("H", bytes(2 * ROWS))
        self._next = 0

    def row(self, place: int, agent: int) -> int | None:
        """Where the agent's last prompt in the session at this place stands, None if that is not known (any more)."""
        found = np.flatnonzero(self._keys == (place << 8 | agent))
        return int(found[0]) if len(found) else None

    def prompt_tokens(self, row: int) -> int:
        return self._prompts[row]

    def output_tokens(self, row: int) -> int:
        return self._outputs[row]

    def lost_tokens(self, row: int) -> int:
        return self._lost[row]

    def is_of(self, row: int, rid: str) -> bool:
        """Whether this is the row of that request; once in 65,536 times another one's is taken for it."""
        return self._tags[row] == tag_of(rid) & 0xFFFF

    def prompted(self, place: int, agent: int, rid: str, prompt_tokens: int) -> None:
        """The agent has a new prompt in the session."""
        before = self.row(place, agent)
        if before is not None:
            self._keys[before] = NOBODYS
        row, self._next = self._next, (self._next + 1) % ROWS
        self._keys[row] = place << 8 | agent
        self._tags[row], self._prompts[row] = tag_of(rid) & 0xFFFF, min(0xFFFFFFFF, max(0, prompt_tokens))
        self._outputs[row] = self._lost[row] = 0

    def responded(self, row: int, total_tokens: int) -> None:
        """Prompt and output together are that long."""
        self._outputs[row] = min(MOST_TOKENS, max(0, total_tokens - self._prompts[row]))

    def lost(self, row: int, tokens: int) -> None:
        """More of it was evicted."""
        self._lost[row] = min(MOST_TOKENS, self._lost[row] + max(0, tokens))

    def restored(self, row: int) -> None:
        """All of it is cached again."""
        self._lost[row] = 0

    def forget_place(self, place: int) -> None:
        """Another session takes the place."""
        self._keys[self._keys >> 8 == place] = NOBODYS

    def forget_agent(self, agent: int) -> None:
        """Another agent takes the slot."""
        self._keys[self._keys & 0xFF == agent] = NOBODYS
