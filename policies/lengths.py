"""How long each agent's last prompt in each session was: of the latest few dozen, in a ring of plain numbers."""

from __future__ import annotations

from array import array

from .tags import tag_of

ROWS = 80
"""Prompts remembered. What came back after more dispatches than that is not learned from."""
MOST_TOKENS = 0xFFFF
"""Outputs are told up to this length."""
KEY_BYTES = 3
NOBODYS = b"\xff" * KEY_BYTES
"""No agent's slot is as high."""


class Lengths:
    """Rows by slot of an agent and place of a session, one byte and two: tokens of the prompt, and of the
    output behind it (0: not known); and a tag that tells whether a request is the one meant."""

    def __init__(self) -> None:
        self._keys = bytearray(NOBODYS * ROWS)
        self._prompts = array("I", bytes(4 * ROWS))
        self._shorts = array("H", bytes(2 * 2 * ROWS))  # of each row its tag, its output
        self._next = 0

    def row(self, place: int, agent: int) -> int | None:
        """Where the agent's last prompt in the session at this place stands, None if that is not known (any more)."""
        key = _key(place, agent)
        at = self._keys.find(key)
        while at > 0 and at % KEY_BYTES:  # the end of one and the beginning of the next
            at = self._keys.find(key, at + 1)
        return at // KEY_BYTES if at >= 0 else None

    def prompt_tokens(self, row: int) -> int:
        return self._prompts[row]

    def output_tokens(self, row: int) -> int:
        return self._shorts[2 * row + 1]

    def is_of(self, row: int, rid: str) -> bool:
        """Whether this is the row of that request; once in 65,536 times another one's is taken for it."""
        return self._shorts[2 * row] == tag_of(rid) & 0xFFFF

    def prompted(self, place: int, agent: int, rid: str, prompt_tokens: int, before: int | None) -> None:
        """The agent has a new prompt in the session; `before`: the row of the last one."""
        if before is not None:
            self._put(before, NOBODYS)
        row, self._next = self._next, (self._next + 1) % ROWS
        self._put(row, _key(place, agent))
        self._shorts[2 * row], self._prompts[row] = tag_of(rid) & 0xFFFF, min(0xFFFFFFFF, max(0, prompt_tokens))
        self._shorts[2 * row + 1] = 0

    def responded(self, row: int, total_tokens: int) -> None:
        """Prompt and output together are that long."""
        self._shorts[2 * row + 1] = min(MOST_TOKENS, max(0, total_tokens - self._prompts[row]))

    def forget_place(self, place: int) -> None:
        """Another session takes the place."""
        self._forget(place.to_bytes(2, "big"), 1)

    def forget_agent(self, agent: int) -> None:
        """Another agent takes the slot."""
        self._forget(bytes((agent,)), 0)

    def _forget(self, part: bytes, offset: int) -> None:
        """Drop the rows whose keys have that part there."""
        at = self._keys.find(part)
        while at >= 0:
            if at % KEY_BYTES == offset:
                self._put(at // KEY_BYTES, NOBODYS)
            at = self._keys.find(part, at + 1)

    def _put(self, row: int, key: bytes) -> None:
        self._keys[KEY_BYTES * row : KEY_BYTES * (row + 1)] = key


def _key(place: int, agent: int) -> bytes:
    return bytes((agent, *place.to_bytes(2, "big")))
