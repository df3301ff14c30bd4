"""What others say under this node's name: the last will of a connection that was lost, or a second daemon of that name.

A retained status is the last word of whoever spoke last, so it is answered: readers must not take this daemon for gone.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from .wire import Status, WireError, decode

MOST = 64
"""Runs that are remembered; what further ones say is not answered."""

_log: Any = structlog.get_logger(__name__)


class Namesakes:
    """`run`: ours, as in the status that we said last."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.run = ""
        self._others: dict[str, None] = {}

    def said(self, payload: bytes) -> bytes:
        """Our status as it goes out: while there is another daemon of this name, with that in `detail`."""
        try:
            status: Status = decode(Status, payload, "status")
        except WireError:
            return payload
        self.run = status.run if status.online else self.run
        if not self._others or not status.online:
            return payload
        detail = "; ".join(part for part in (status.detail, self._words()) if part)
        return msgspec.json.encode(msgspec.structs.replace(status, detail=detail))

    def heard(self, payload: Any, *, retained: bool) -> bool:
        """Take a status of this name. Returns whether ours has to be said again. What the broker kept from before is
        no sign of life, and ours comes behind it anyway; each other run is answered once, or two daemons would never
        end."""
        if retained:
            return False
        try:
            status: Status = decode(Status, payload if isinstance(payload, bytes) else b"", "status")
        except WireError:
            return True
        if not status.online:
            self._others.clear()
            return True
        if status.run == self.run or status.run in self._others or len(self._others) >= MOST:
            return False
        self._others[status.run] = None
        _log.error("another daemon has this name", node=self._node, run=status.run, endpoint=status.endpoint)
        return True

    def _words(self) -> str:
        runs = ", ".join(run or "unnamed" for run in self._others)
        return f"another daemon is called {self._node} too (run {runs}): orders reach both; give one another --node"
