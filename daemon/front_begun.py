"""An answer of an engine up to where it begins: the first content of a stream, else all of it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import aiohttp

from .front_sse import MAX_HELD_BYTES, AnswerWatch, EventCutter

LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""What an engine that is lost is noticed by."""


@dataclass(frozen=True)
class Begun:
    """`head`: what has come of a stream; `good`: it is neither an error nor sent elsewhere. The answer has to be
    released or closed."""

    answer: aiohttp.ClientResponse
    head: bytes
    good: bool


async def begin(sent: Awaitable[aiohttp.ClientResponse], route: str) -> Begun:
    """Wait until the answer begins. Raises one of LOST if the engine is lost before; a stream that breaks off before
    it begins is no good. Cancelling closes the connection."""
    answer = await sent
    try:
        if answer.content_type == "text/event-stream":
            return await _stream(answer, route)
        await answer.read()
        return Begun(answer, b"", answers(answer))
    except BaseException:
        answer.close()
        raise


async def _stream(answer: aiohttp.ClientResponse, route: str) -> Begun:
    watch, cutter, head = AnswerWatch(route), EventCutter(), b""
    while data := await read_some(answer):
        head += data
        watch.feed(cutter.feed(data))
        if watch.begun or watch.finish in ("error", "abort") or len(head) > MAX_HELD_BYTES:
            break
    good = data is not None and watch.finish not in ("error", "abort")
    return Begun(answer, head, good and answers(answer))


def answers(answer: aiohttp.ClientResponse) -> bool:
    """Whether the status says that this is what was asked for: a redirect is not, nobody follows it."""
    return 200 <= answer.status < 300


async def read_some(answer: aiohttp.ClientResponse) -> bytes | None:
    """The next bytes, empty at the end of the answer, None if the engine was lost before the end."""
    try:
        return await answer.content.readany()
    except LOST:
        return None
