"""An answer that cannot be brought to its end is broken off: nobody takes half of it for all of it."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from front_harness import stack
from test_front_failures import raw

from radixdeck.daemon.front_sse import AnswerWatch
from radixdeck.policies.events import FirstTokenSent, RequestFinished

CHAT = "/v1/chat/completions"
STREAMED = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def asked(path: str = CHAT) -> bytes:
    """A request on a connection that stays open."""
    body = json.dumps(STREAMED).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_an_error_of_our_own_in_mid_stream_breaks_the_connection_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack() as s:
        feed = AnswerWatch.feed

        def broken(watch: AnswerWatch, data: bytes) -> None:
            feed(watch, data)
            if b'"lo"' in data:
                raise KeyError("unforeseen")

        monkeypatch.setattr(AnswerWatch, "feed", broken)
        s.upstream.gate = asyncio.Event()
        asking = asyncio.create_task(raw(s, asked()))
        await s.until(FirstTokenSent)
        s.upstream.gate.set()
        answer = await asking  # it would not return if the connection stayed open
        assert (answer.count(b"HTTP/1.1"), b'"Hel"' in answer, answer.endswith(b"0\r\n\r\n")) == (1, True, False)
        assert (await s.until(RequestFinished))[0].status == 500
        assert s.front.in_flight == 0
        async with s.client.post(s.url + CHAT, json=STREAMED) as streamed:
            with pytest.raises(aiohttp.ClientError):
                await streamed.read()
