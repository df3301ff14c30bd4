"""How long a caller may be slow: one that takes nothing of its answer, or sends nothing more of its request, would keep
its place for ever. It is hung up on, which ends its request as if it had gone away.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext, suppress
from fcntl import ioctl
from termios import TIOCOUTQ

from aiohttp import web

LOOK_S = 60.0
"""Whoever makes no progress from one look to the next is hung up on, so after one to two of these."""
MAY_WAIT_BYTES = 1 << 14
"""With less than this on its way no write has to wait for the caller: event loops stop writers at 64 KiB and let them
go on at a quarter of that."""
_NEVER_WAITS = nullcontext()


def patience(transport: asyncio.Transport | None, size_bytes: int) -> AbstractContextManager[None]:
    """To write so many bytes to a caller in."""
    if transport is None or transport.get_write_buffer_size() + size_bytes < MAY_WAIT_BYTES:
        return _NEVER_WAITS
    return _Patience(transport)


class _Patience(AbstractContextManager[None]):
    """Looks again and again how much is not with the caller yet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left_bytes = math.inf
        self._alarm: asyncio.TimerHandle

    def __enter__(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def __exit__(self, *_: object) -> None:
        self._alarm.cancel()

    def _look(self) -> None:
        left_bytes = _not_taken_bytes(self._transport)
        if left_bytes >= self._left_bytes:
            self._transport.abort()
            return
        self._left_bytes = left_bytes
        self._alarm = asyncio.get_running_loop().call_later(LOOK_S, self._look)


def _not_taken_bytes(transport: asyncio.Transport) -> int:
    """What waits here and in the kernel, which takes some megabytes at a time. Where it does not tell, only the
    former."""
    queued = array("i", [0])
    with suppress(OSError):
        ioctl(transport.get_extra_info("socket").fileno(), TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + queued[0]


async def incoming(request: web.Request) -> AsyncIterator[bytes]:
    """The body of a request as it comes."""
    transport, loop = request.transport, asyncio.get_running_loop()
    while True:
        alarm = None if transport is None else loop.call_later(2 * LOOK_S, transport.abort)
        try:
            data = await request.content.readany()
        finally:
            if alarm is not None:
                alarm.cancel()
        if not data:
            return
        yield data
