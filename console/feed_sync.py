"""Event numbering, seen from the reader: a keyframe, then every event after it once and in order, or a new keyframe.

No sockets and no clock in here; what arrives is told, what may be shown is returned.
"""

from __future__ import annotations

from collections import deque

import msgspec

from radixdeck.daemon.wire import EventBatch, Keyframe
from radixdeck.policies.events import AnyEvent, decode

MAX_WAITING_EVENTS = 20_000


class NodeKeyframe(msgspec.Struct, frozen=True):
    """The whole state of a node's run: forget what was folded of this node and go on from here."""

    node: str
    keyframe: Keyframe


class NodeEvents(msgspec.Struct, frozen=True):
    """Events `first_seq` ... `last_seq` of a node's run, each with its number, in order and without a gap.

    `unknown` of them are of a kind or shape this version does not know and are left out of `events`.
    """

    node: str
    run: str
    first_seq: int
    last_seq: int
    events: list[tuple[int, AnyEvent]]
    unknown: int = 0


class NodeSync:
    """Where the reader is in one node's numbering. `keyframes=False` follows events only and starts anywhere."""

    def __init__(self, node: str, *, keyframes: bool = True) -> None:
        self.node = node
        self.gaps: int = 0
        self.unknown: int = 0
        self._keyframes = keyframes
        self._run: str = ""
        self._next_seq: int | None = None
        self._waiting: deque[EventBatch] = deque()
        self._waiting_events = 0

    @property
    def lost(self) -> bool:
        """Whether a keyframe is needed before anything else can be shown."""
        return self._keyframes and self._next_seq is None

    def forget(self) -> None:
        """What was returned did not reach the reader: start again from a keyframe."""
        self._next_seq = None
        self._waiting.clear()
        self._waiting_events = 0

    def on_batch(self, batch: EventBatch) -> NodeEvents | None:
        """The part of the batch that continues what was shown, or None: kept for later, or known already."""
        if self.lost:
            self._keep(batch)
            return None
        if batch.run != self._run or self._next_seq is None or batch.first_seq > self._next_seq:
            self.gaps += self._next_seq is not None and batch.run == self._run
            if self._keyframes:
                self.forget()
                self._keep(batch)
                return None
            self._run, self._next_seq = batch.run, batch.first_seq
        return self._advance(batch, self._next_seq)

    def is_news(self, run: str, seq: int) -> bool:
        """Whether a keyframe after event `seq` tells more than what was shown. Cheap, to spare decoding the rest."""
        return self._keyframes and (self._next_seq is None or run != self._run or seq >= self._next_seq)

    def on_keyframe(self, keyframe: Keyframe) -> list[NodeKeyframe | NodeEvents]:
        """The keyframe, and what was kept that comes after it; nothing if it is no news."""
        if not self.is_news(keyframe.run, keyframe.seq):
            return []
        kept = [batch for batch in self._waiting if batch.run == keyframe.run]
        self.forget()
        self._run, self._next_seq = keyframe.run, keyframe.seq + 1
        out: list[NodeKeyframe | NodeEvents] = [NodeKeyframe(self.node, keyframe)]
        out += [events for batch in kept if (events := self.on_batch(batch)) is not None]
        return out

    def _keep(self, batch: EventBatch) -> None:
        self._waiting.append(batch)
        self._waiting_events += len(batch.events)
        while self._waiting_events > MAX_WAITING_EVENTS:
            self._waiting_events -= len(self._waiting.popleft().events)

    def _advance(self, batch: EventBatch, next_seq: int) -> NodeEvents | None:
        """Decode what is new of the batch; it begins at or before `next_seq`."""
        new = batch.events[next_seq - batch.first_seq :]
        if not new:
            return None
        events: list[tuple[int, AnyEvent]] = []
        for seq, raw in enumerate(new, next_seq):
            try:
                events.append((seq, decode(raw)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.unknown += 1
        self._next_seq = next_seq + len(new)
        return NodeEvents(self.node, batch.run, next_seq, self._next_seq - 1, events, len(new) - len(events))
