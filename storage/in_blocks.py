"""Many events of a recording, with only some of them in memory at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from radixdeck.policies.events import AnyEvent

BLOCK = 4096
"""Events read at once."""

Numbered = tuple[int, AnyEvent]
"""An event with its number in the run."""


class Events(Protocol):
    """A recording, see session.Session."""

    @property
    def first_seq(self) -> int: ...
    def events(self, after_seq: int, limit: int, kinds: Collection[str] = ()) -> list[Numbered]: ...


def in_blocks(recording: Events, kinds: Collection[str], upto_seq: int) -> Iterator[Numbered]:
    """All events of these kinds up to that number, oldest first. Raises SessionError."""
    after = recording.first_seq - 1
    while block := recording.events(after, BLOCK, kinds):
        yield from ((seq, event) for seq, event in block if seq <= upto_seq)
        after = block[-1][0]
        if after >= upto_seq:
            return
