"""The one place where a fact becomes part of the run: numbered, folded into the state, recorded, queued for MQTT."""

from __future__ import annotations

from collections import deque

import msgspec

from radixdeck.policies.events import AnyEvent, PrefixInserted, PrefixMatched, encode
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.recorder import Recorder

from .metrics import Window
from .wire import EventBatch, Keyframe

MAX_UNSENT = 20_000
"""Events waiting for MQTT. Beyond it the oldest go; readers see the gap in the numbers and resync."""


class Journal:
    """Owns `state`, the folded truth of this run, and `seq`, the number of the last event in it."""

    def __init__(self, run: str, recorder: Recorder) -> None:
        self.run = run
        self.seq = 0
        self.state = RunState()
        self.window = Window()
        self._recorder = recorder
        self._unsent: deque[tuple[int, AnyEvent]] = deque(maxlen=MAX_UNSENT)

    def append(self, event: AnyEvent) -> None:
        """Make `event` part of the run. Never blocks and never raises for a well-typed event."""
        self.seq += 1
        fold(self.state, event)
        self.window.observe(event)
        self._recorder.record(self.seq, event)
        if self._recorder.wants_keyframe:
            self.record_keyframe()
        self._unsent.append((self.seq, event))

    def take_batch(self, limit: int = 500) -> bytes | None:
        """The next events to publish as an EventBatch payload, or None. Prompt hashes stay out of MQTT."""
        if not self._unsent:
            return None
        taken = [self._unsent.popleft() for _ in range(min(limit, len(self._unsent)))]
        raws = [msgspec.Raw(encode(_without_hashes(event))) for _, event in taken]
        return msgspec.json.encode(EventBatch(run=self.run, first_seq=taken[0][0], events=raws))

    def keyframe(self) -> bytes:
        """The whole state as a Keyframe payload. What was not yet published is contained in it; readers skip it."""
        frame = Keyframe(run=self.run, seq=self.seq, t_ns=self.state.t_ns, state=self.state)
        return msgspec.json.encode(frame)

    def record_keyframe(self) -> None:
        """Write the state into the recording, so that a replay can seek."""
        self._recorder.keyframe(self.seq, self.state)


def _without_hashes(event: AnyEvent) -> AnyEvent:
    match event:
        case PrefixMatched() if event.tail:
            return msgspec.structs.replace(event, tail=b"")
        case PrefixInserted() if event.output:
            return msgspec.structs.replace(event, output=b"")
        case _:
            return event
