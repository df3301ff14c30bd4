"""What is too large for the broker: it throws out whoever sends that, and tells everybody the last will.

MQTT 5 brokers say when a client connects how large a packet may be; a broker of our own says so by its address.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from .wire import BrokerAddress, Status, WireError, decode

HEAD_BYTES = 32
"""What a packet has beside topic and payload, at most."""

_log: Any = structlog.get_logger(__name__)


class PacketLimit:
    """Of one link. Leaves count: 'residency', 'agents', ..."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._most_bytes = 0
        self._too_large: dict[str, int] = {}
        self._logged: set[str] = set()

    def connected(self, most_bytes: int) -> None:
        """A new connection begins, on which the broker takes so many bytes in a packet; 0: it did not say."""
        self._most_bytes = most_bytes or self._address.max_packet_bytes
        self._too_large.clear()

    def holds_back(self, leaf: str, topic: str, payload: bytes) -> bool:
        """Whether it must not be sent."""
        size_bytes = HEAD_BYTES + len(topic.encode()) + len(payload)
        if not self._most_bytes or size_bytes <= self._most_bytes:
            self._too_large.pop(leaf, None)
            return False
        self._too_large.setdefault(leaf, size_bytes)
        if leaf not in self._logged:
            self._logged.add(leaf)
            _log.error("too large for the mqtt broker", why=self.words)
        return True

    @property
    def words(self) -> str:
        """What is not sent and what to do about it; '' if everything is."""
        if not self._too_large:
            return ""
        held = ", ".join(f"{leaf} ({size / 1e6:.1f} MB)" for leaf, size in self._too_large.items())
        cure = "install mosquitto" if self._address.kind == "amqtt" else "raise max_packet_size in its configuration"
        return f"not published: {held}; the broker takes at most {self._most_bytes:,} bytes at a time: {cure}"

    def said(self, payload: bytes) -> bytes:
        """Our status as it goes out: with that in `detail`."""
        if not self._too_large:
            return payload
        try:
            status: Status = decode(Status, payload, "status")
        except WireError:
            return payload
        if not status.online:
            return payload
        detail = "; ".join(filter(None, (status.detail, self.words)))
        return msgspec.json.encode(msgspec.structs.replace(status, detail=detail))
