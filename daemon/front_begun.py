"""An answer of an engine up to where it begins: the first content of a stream, else all of it. What is read of a stream
until then is watched and cut here, once: whoever carries it to the caller goes on with the same watch and cutter."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import aiohttp

from .front_sse import MAX_HELD_BYTES, AnswerWatch, EventCutter

LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""What an engine that is lost is noticed by."""


@dataclass(frozen=True)
class Begun:
    """`head`: the whole events that have come of a stream, which `watch` has seen and `cutter` has cut; `good`: it is
    neither an error nor sent elsewhere. The answer has to be released or closed."""

    answer: aiohttp.ClientResponse
    watch: AnswerWatch
    cutter: EventCutter
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
        return Begun(answer, AnswerWatch(route), EventCutter(), b"", answers(answer))
    except BaseException:
        answer.close()
        raise


async def _stream(answer: aiohttp.ClientResponse, route: str) -> Begun:
    watch, cutter, head, read_bytes = AnswerWatch(route), EventCutter(), b"", 0
    while data := await read_some(answer):
        if events := cutter.feed(data):
            watch.feed(events)
            head += events
        read_bytes += len(data)
        if watch.begun or watch.failed or read_bytes > MAX_HELD_BYTES:
            break
    good = data is not None and not watch.failed
    return Begun(answer, watch, cutter, head, good and answers(answer))


def answers(answer: aiohttp.ClientResponse) -> bool:
    """Whether the status says that this is what was asked for: a redirect is not, nobody follows it."""
    return 200 <= answer.status < 300


async def read_some(answer: aiohttp.ClientResponse) -> bytes | None:
    """The next bytes, empty at the end of the answer, None if the engine was lost before the end."""
    try:
        return await answer.content.readany()
    except LOST:
        return None
