"""How long each agent's last prompt in each session was, and whether the engine still remembers it: of the latest
requests, in plain numbers."""

from __future__ import annotations

from array import array

from ..tags import tag_of
from .shadow import REMEMBERED

ROWS = 2 * REMEMBERED
"""Requests known: more than the engine remembers, or what comes back after it forgot would look new."""
MOST_TOKENS = 0xFFFF
"""Outputs are told up to this length."""
KEY_BYTES, TAG_BYTES = 3, 4
NOBODY = b"\xff"
"""No agent's slot is as high."""
NOWHERE = b"\xff\xff"
"""No session's place is as high."""


class Lengths:
    """Rows in the order in which the engine heard of requests last, the latest one last: it remembers REMEMBERED of
    them. Of each the agent's slot and the place of its session, one byte and two, while no newer prompt of both came;
    tokens of the prompt, and of the output behind it (0: not known); and a tag that tells which request it is. A row is
    good until the next request."""

    def __init__(self) -> None:
        self._keys, self._tags = bytearray(), bytearray()
        self._prompts, self._outputs = array("I"), array("H")

    def row(self, place: int, agent: int) -> int | None:
        """Where the agent's last prompt in the session at this place stands, None if that is not known (any more)."""
        return _find(self._keys, _key(place, agent))

    def prompt_tokens(self, row: int) -> int:
        return self._prompts[row]

    def output_tokens(self, row: int) -> int:
        return self._outputs[row]

    def is_of(self, row: int, rid: str) -> bool:
        """Whether this is the row of that request."""
        return self._tags.startswith(_tag(rid), TAG_BYTES * row)

    def is_remembered(self, row: int) -> bool:
        """Whether the engine can tell what a prompt repeats of it."""
        return row >= len(self._prompts) - REMEMBERED

    def remembers(self, agent: int) -> bool:
        """Whether the engine can tell what a prompt repeats of any other of the agent."""
        return agent in self._keys[-KEY_BYTES * REMEMBERED :: KEY_BYTES]

    def prompted(self, place: int, agent: int, rid: str, prompt_tokens: int, before: int | None) -> None:
        """The agent has a new prompt in the session; `before`: the row of the last one."""
        if before is not None:
            self._keys[KEY_BYTES * before + 1 : KEY_BYTES * (before + 1)] = NOWHERE
        self._append(_key(place, agent), _tag(rid), min(0xFFFFFFFF, max(0, prompt_tokens)), 0)

    def passed(self, rid: str) -> None:
        """The engine heard of a request that nothing is learned of."""
        self._append(NOBODY + NOWHERE, _tag(rid), 0, 0)

    def responded(self, rid: str, total_tokens: int) -> None:
        """Prompt and output of a request together are that long."""
        tag = _tag(rid)
        row = _find(self._tags, tag)
        if row is None:
            return self._append(NOBODY + NOWHERE, tag, 0, 0)
        key, prompt_tokens = self._keys[KEY_BYTES * row : KEY_BYTES * (row + 1)], self._prompts[row]
        self._drop(row)
        self._append(key, tag, prompt_tokens, min(MOST_TOKENS, max(0, total_tokens - prompt_tokens)))

    def forget_place(self, place: int) -> None:
        """Another session takes the place."""
        self._forget(place.to_bytes(2, "big"), 1, NOWHERE)

    def forget_agent(self, agent: int) -> None:
        """Another agent takes the slot."""
        self._forget(bytes((agent,)), 0, NOBODY)

    def _forget(self, part: bytes, offset: int, instead: bytes) -> None:
        """Write something else into the keys that have that part there."""
        at = self._keys.find(part)
        while at >= 0:
            if at % KEY_BYTES == offset:
                self._keys[at : at + len(part)] = instead
            at = self._keys.find(part, at + 1)

    def _append(self, key: bytes | bytearray, tag: bytes, prompt_tokens: int, output_tokens: int) -> None:
        self._keys += key
        self._tags += tag
        self._prompts.append(prompt_tokens)
        self._outputs.append(output_tokens)
        if len(self._prompts) > ROWS:
            self._drop(0)

    def _drop(self, row: int) -> None:
        del self._keys[KEY_BYTES * row : KEY_BYTES * (row + 1)]
        del self._tags[TAG_BYTES * row : TAG_BYTES * (row + 1)]
        del self._prompts[row], self._outputs[row]


def _find(records: bytearray, wanted: bytes) -> int | None:
    """The number of the last of these records that is the wanted one; all are as long."""
    size = len(wanted)
    at = records.rfind(wanted)
    while at > 0 and at % size:  # the end of one and the beginning of the next
        at = records.rfind(wanted, 0, at + size - 1)
    return at // size if at >= 0 else None


def _key(place: int, agent: int) -> bytes:
    return bytes((agent, *place.to_bytes(2, "big")))


def _tag(rid: str) -> bytes:
    return tag_of(rid).to_bytes(TAG_BYTES, "big")
