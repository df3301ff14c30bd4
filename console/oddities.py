"""What the console could not read or believe, in words, each thing said once and again when it has grown tenfold.

Nothing of it stops anything: what cannot be read is left out, and this says so.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from .feed import Feed
from .feed_mqtt import MqttFeed
from .fleet_state import FleetState, NodeState
from .words import printable, seconds

AGAIN = 10
HERE = importlib.metadata.version("radixdeck")


class Oddities:
    """Remembers what was said. `news` is cheap and may be asked often."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], int] = {}

    def news(self, fleet: FleetState, feed: Feed, *, replayed: bool) -> Iterator[str]:
        """What is to be said now."""
        if isinstance(feed, MqttFeed) and self._grew("", "bad", feed.bad_payloads):
            yield (f"{feed.bad_payloads:,} messages at the broker could not be read and were left out; the last one: "
                   f"{printable(feed.bad_reason)}")  # fmt: skip
        for entry in fleet.nodes.values():
            yield from self._of(entry, replayed=replayed)

    def _of(self, entry: NodeState, *, replayed: bool) -> Iterator[str]:
        node, version = printable(entry.node), entry.status.version if entry.status else ""
        if not replayed and version not in ("", HERE) and self._grew(node, f"version {version}", 1):
            yield (f"{node} runs radixdeck {printable(version)}, this console is {HERE}: what either does not know of "
                   "the other is left out")  # fmt: skip
        if self._grew(node, "unknown", entry.unknown_events):
            yield f"{node}: {entry.unknown_events:,} events are of a kind that this version does not know; left out"
        if self._grew(node, "clock", entry.clock_jumps):
            way = "ahead" if entry.clock_jump_s > 0 else "back"
            yield (f"the clock of {node} jumped {way} by {seconds(abs(entry.clock_jump_s))}: ages and rates around "
                   "that moment are not to be trusted")  # fmt: skip

    def _grew(self, node: str, what: str, number: int) -> bool:
        said = self._said.get((node, what), 0)
        if number <= 0 or (said and number < said * AGAIN):
            return False
        self._said[node, what] = number
        return True
