"""What goes out over MQTT and when: event batches, retained tables, metrics, keyframes while somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import msgspec

from radixdeck.policies.host import PolicyHost
from radixdeck.storage.recorder import Recorder

from .clock import now_ns
from .journal import Journal
from .mqtt import MqttLink
from .policies_table import policies_table
from .wire import AgentsTable

BATCH_PERIOD_S = 0.05
UNWATCHED_PERIOD_S = 0.25
"""Between two batches of events: while a console looks on, and otherwise."""
TABLE_PERIOD_S = 1.0
KEYFRAME_PERIOD_S = 5.0
WATCH_S = 15.0


class Publisher:
    """Reads the journal and the policies' host, writes MQTT payloads and the recording's keyframes. `leads`: policies
    in which other nodes follow this one where an order switches them off."""

    def __init__(
        self, mqtt: MqttLink, journal: Journal, host: Callable[[], PolicyHost], recorder: Recorder,
        leads: Collection[str],
    ) -> None:  # fmt: skip
        self._mqtt, self._journal, self._host, self._recorder = mqtt, journal, host, recorder
        self._leads: frozenset[str] = frozenset(leads)
        self._watched_until = 0.0

    def watch(self, *, resync: bool) -> None:
        """Somebody looks on: keyframes and scores for the next 15 s, the first at once if they are new or lost the
        thread."""
        new = not self._watched
        self._watched_until = time.monotonic() + WATCH_S
        if resync or new:
            self._send_keyframe()
        if new:
            self.send_policies()

    @property
    def _watched(self) -> bool:
        return time.monotonic() < self._watched_until

    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        return {"events": self._events, "tables": self._tables, "keyframes": self._keyframes}

    async def _events(self) -> None:
        while True:
            await asyncio.sleep(BATCH_PERIOD_S if self._watched else UNWATCHED_PERIOD_S)
            self.send_events()

    async def _tables(self) -> None:
        while True:
            await asyncio.sleep(TABLE_PERIOD_S)
            self.send_agents()
            self.send_policies()
            metrics = self._journal.window.metrics(now_ns(), self._journal.state, self._recorder)
            self._mqtt.publish("metrics", msgspec.json.encode(metrics))

    async def _keyframes(self) -> None:
        recorded_at, recorded_seq = 0.0, -1
        while True:
            await asyncio.sleep(KEYFRAME_PERIOD_S)
            now = time.monotonic()
            if self._watched:
                self._send_keyframe()
            if now - recorded_at >= self._recorder.keyframe_period_s and self._journal.seq != recorded_seq:
                self._journal.record_keyframe()
                recorded_at, recorded_seq = now, self._journal.seq

    def send_events(self) -> None:
        """Publish what happened since the last time."""
        while (batch := self._journal.take_batch()) is not None:
            self._mqtt.publish("events", batch)

    def send_agents(self) -> None:
        """Publish the table of agents as it is now."""
        self._mqtt.publish("agents", _agents(self._journal, self._leads), retain=True)

    def send_policies(self) -> None:
        """Publish the table of policies as it is now, with scores only while somebody looks on."""
        table = policies_table(self._host(), self._journal.state, now_ns() / 1e9, scored=self._watched)
        self._mqtt.publish("policies", msgspec.json.encode(table), retain=True)

    def lead_no_more(self) -> None:
        """At the end of the run: others follow nothing that was said in it."""
        self._leads = frozenset[str]()
        self.send_agents()

    def _send_keyframe(self) -> None:
        # What the keyframe contains goes out first, so that no reader sees a number jump back.
        self.send_events()
        self._mqtt.publish("residency", self._journal.keyframe())


def _agents(journal: Journal, leads: frozenset[str]) -> bytes:
    table = sorted(journal.state.agents.values(), key=lambda stats: -stats.dispatches)
    off = sorted(name for name in leads if not journal.state.ordered.get(name, True))
    return msgspec.json.encode(AgentsTable(run=journal.run, seq=journal.seq, agents=table, off=off))
