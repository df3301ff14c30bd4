"""An engine that hangs up behind an error of its own, as SGLang does, and one that dies of what it is asked: nobody
else's request is lost with that, and nobody is told to ask again what may have been the cause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from front_harness import Stack, stack

from radixdeck.policies.events import RequestRefused

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}]}
FAILS = "/api/chat"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers until it has failed. Then it hangs up, without having said so, at the worst moment: when the next
    request is on its way."""
    failed = False
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if failed:
                break
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].partition(b":")[2]))
            failed = FAILS.encode() in head
            status = b"500 Internal Server Error" if failed else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def failing() -> AsyncIterator[Stack]:
    async with stack() as s, await asyncio.start_server(_serve, "127.0.0.1", 0) as server:
        s.upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield s


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_connection_that_carried_an_error_is_not_used_again(failures: int) -> None:
    async with failing() as s:
        failed = await asyncio.gather(*(s.post(FAILS, BODY) for _ in range(failures)))
        assert [status for status, _ in failed] == failures * [500]
        for _ in range(4):
            assert (await s.post(CHAT, BODY))[0] == 200


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_an_engine_may_have_died_of_is_not_to_be_sent_again(streamed: bool) -> None:
    async with stack() as s:
        s.upstream.die, s.upstream.gate = True, asyncio.Event()
        asking = asyncio.create_task(s.client.post(s.url + CHAT, json={**BODY, "stream": streamed}))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        s.away = ("its scheduler died", 1.0)
        s.upstream.gate.set()
        answer = await asking
        said = await answer.text()
        assert "may be the cause (its scheduler died)" in said
        assert ("retryable" in said, "Retry-After" in answer.headers) == (False, False)


@pytest.mark.parametrize("prompts", [[[]], [[1, 2], []]])
async def test_a_prompt_without_tokens_is_refused(prompts: list[list[int]]) -> None:
    """SGLang's scheduler dies of it."""
    async with stack() as s:
        status, answer = await s.post("/generate", {"input_ids": prompts})
        assert (status, answer["error"]["param"]) == (400, "input_ids")
        assert (len(s.of(RequestRefused)), s.upstream.requests) == (1, [])
