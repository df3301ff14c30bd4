"""Callers and engines that go away, and callers that send garbage: clear errors, nothing lost, nothing crashed."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from front_harness import Stack, stack

from radixdeck.policies.events import AnchorMeasured, AnswerGiven, RequestArrived, RequestFinished, RequestRefused

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


async def raw(s: Stack, data: bytes, *, leave: bool = False) -> bytes:
    """What the front answers to these bytes on a plain socket; `leave`: hang up after sending."""
    host, port = s.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    if leave:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def http(body: bytes, *headers: bytes, path: bytes = b"/v1/chat/completions", length: bool = True) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1}x', "byte 8"),
        (b"\xff\xfe", "not JSON"),
        (b'{"messages":"\xff"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"a":1e999}', "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"[" * 50_000, "nested too deeply"),
        (b'{"custom_params":7}', "custom_params must be an object"),
        (b'{"cache_salt":7}', "cache_salt"),
        (b'{"cache_salt":["a"],"extra_key":["b","c"]}', "differ in length"),
        (b'{"extra_key":[7]}', "extra_key"),
    ],
    ids=range(14),
)
async def test_a_bad_body_is_named(body: bytes, words: str) -> None:
    async with stack() as s:
        async with s.client.post(s.url + CHAT, data=body) as answer:
            assert answer.status == 400
            error = (await answer.json())["error"]
        assert words in error["message"]
        assert error["type"] == "invalid_request_error"
        assert s.of(RequestRefused)[0].status == 400
        assert not s.upstream.requests
        assert (await s.chat("hi"))[0] == 200


async def test_bad_sampling_parameters_are_named() -> None:
    async with stack() as s:
        for value in (7, ["x"], {"custom_params": []}):
            status, answer = await s.post("/generate", {"text": "x", "sampling_params": value})
            assert (status, answer["error"]["param"].split(".")[0]) == (400, "sampling_params")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": 7},
        {"messages": 7, "tools": [{}]},
        {"messages": {"role": "system"}, "tools": "x"},
        {"messages": [{"role": "system", "content": "x"}, "hi"]},
        {"messages": [{"role": "system", "content": "x"}, [[{}]], None], "tools": [7, [{"function": [None]}]]},
        {"messages": [7, None, [], {"role": []}, {"content": {}}]},
        {"messages": [{"role": "system", "content": [{"text": 7}, 9]}], "tools": "x", "metadata": [1]},
        {"messages": MESSAGES, "tools": {"a": 1}, "metadata": {"agent_id": {}, "session_id": []}, "user": "x" * 999},
        {"prompt": {"a": 1}, "input_ids": [[None]], "text": [[]], "input": 3, "system": 7, "model": {}},
        {"prompt": [], "text": [], "input_ids": [True, -5, 10**30], "input": [3]},
    ],
)
async def test_any_json_object_is_passed_on(body: dict[str, object]) -> None:
    async with stack() as s:
        for path in (CHAT, "/v1/completions", "/generate", "/v1/messages", "/v1/responses"):
            assert (await s.post(path, body))[0] == 200
            assert (await s.post(path, {**body, "stream": False}))[0] == 200
        assert s.front.in_flight == 0


async def test_nesting_is_passed_on_or_named_and_stops_no_measuring() -> None:
    head = [{"role": "system", "content": "You plan."}]
    async with stack() as s:
        for depth in range(900, 1_010, 2):
            deep = b"[" * depth + b"]" * depth
            body = b'{"messages":[{"role":"system","content":"x"},{"role":' + deep + b'}],"tools":' + deep + b"}"
            async with s.client.post(s.url + CHAT, data=body, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 200 or (await answer.json())["error"]["message"].endswith("too deeply")
        await s.post(CHAT, {"messages": head}, {"x-agent-id": "planner"})
        async with asyncio.timeout(10):
            while not any(fact.agent == "planner" for fact in s.of(AnchorMeasured)):
                s.news.clear()
                await s.news.wait()


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        (b"x-agent-id", b"", "empty"),
        (b"x-agent-id", b"a" * 129, "129 characters"),
        (b"x-agent-id", b"a\tb", "control"),
        (b"x-agent-id", b"a\xff", "unprintable"),
        (b"x-session-id", b" ", "empty"),
        (b"x-session-id", "a\u202eb".encode(), "unprintable"),
        (b"x-tenant-id", b"a b", "letters, digits"),
        (b"x-tenant-id", b"", "letters, digits"),
    ],
    ids=range(8),
)
async def test_a_bad_identity_header_is_named(header: bytes, value: bytes, words: str) -> None:
    async with stack() as s:
        answer = await raw(s, http(json.dumps({"messages": MESSAGES}).encode(), header + b": " + value))
        assert answer.startswith(b"HTTP/1.1 400")
        message = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
        assert header.decode() in message
        assert words in message


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        http(b"{}", b"x-agent-id: a\x00b"),
        http(b"{}", b"x" * 70_000),
        http(b"{}", b"x-agent-id: " + b"a" * 70_000),
        http(b"zz\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False),
        http(b"-5\r\n", b"Transfer-Encoding: chunked", length=False),
        http(b"{}", b"Content-Length: -1", length=False),
        http(b"not gzip", b"Content-Encoding: gzip"),
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=[
        "words",
        "binary",
        "version",
        "nul",
        "long-name",
        "long-value",
        "chunk",
        "negative-chunk",
        "length",
        "gzip",
        "*",
    ],
)
async def test_broken_http_gets_an_error_and_harms_nobody(data: bytes) -> None:
    async with stack() as s:
        status = (await raw(s, data)).split(b" ")[1]
        assert status.startswith(b"4")
        assert not s.upstream.requests
        assert (await s.chat("hi"))[0] == 200


async def test_a_body_cut_short_reaches_nobody() -> None:
    async with stack() as s:
        await raw(s, http(b'{"messages": []', b"Content-Length: 100", length=False), leave=True)
        assert not s.upstream.requests
        assert (await s.chat("hi"))[0] == 200


async def test_a_body_that_is_too_large_is_refused_in_words() -> None:
    async with stack(max_body_bytes=1 << 20) as s, s.client.post(s.url + CHAT, data=b"x" * (2 << 20)) as answer:
        assert answer.status == 413
        assert "larger than 1 MiB" in (await answer.json())["error"]["message"]


async def test_large_bodies_pass() -> None:
    async with stack() as s:
        assert (await s.chat("x" * (40 << 20)))[0] == 200


async def test_websockets_are_refused_and_other_upgrades_ignored() -> None:
    async with stack() as s:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with s.client.get(s.url + "/v1/realtime", headers=upgrade) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (501, "not_supported_error")
        upgrade["Upgrade"] = "h2c"
        assert (await s.chat("hi", headers=upgrade))[0] == 200


async def test_an_error_of_our_own_is_told_and_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack() as s:

        def broken(*_: object) -> None:
            raise KeyError("unforeseen")

        monkeypatch.setattr("radixdeck.daemon.front_sse.AnswerWatch.feed", broken)
        status, answer = await s.chat("hi")
        assert (status, answer["error"]["message"]) == (500, "internal error: KeyError")
        assert s.of(RequestFinished)[0].status == 500
        assert s.front.in_flight == 0


async def test_an_absolute_target_does_not_lead_elsewhere() -> None:
    async with stack() as s:
        answer = await raw(s, b"GET http://example.invalid/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert s.upstream.requests[0][0] == "/v1/models"


async def test_without_an_engine_requests_get_a_retryable_error() -> None:
    async with stack() as s:
        s.away = ("it is starting", 3.2)
        async with s.client.post(s.url + CHAT, json={"messages": MESSAGES}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "4")
            error = (await answer.json())["error"]
        assert "it is starting" in error["message"]
        assert (error["type"], error["retryable"]) == ("engine_unavailable", True)
        assert s.of(RequestRefused)[0].status == 503
        assert not s.of(RequestArrived)
        async with s.client.get(s.url + "/v1/models") as answer:
            assert answer.status == 503
        async with s.client.get(s.url + "/radixdeck/health") as answer:
            assert (await answer.json())["detail"] == "it is starting"


async def test_an_engine_that_does_not_listen_is_away() -> None:
    async with stack() as s:
        s.upstream.url = "http://127.0.0.1:1"
        status, answer = await s.chat("hi")
        assert (status, answer["error"]["type"]) == (503, "engine_unavailable")
        assert s.of(RequestFinished)[0].finish == "error"
        assert s.front.in_flight == 0


async def test_an_engine_lost_before_the_answer_is_a_retryable_error() -> None:
    async with stack() as s:
        s.upstream.die = True
        status, answer = await s.chat("hi")
        assert (status, answer["error"]["retryable"]) == (502, True)
        assert s.of(RequestFinished)[0].status == 502
        assert not s.of(RequestRefused)


@pytest.mark.parametrize("cut", [b"", b'data: {"id":"x","choi'])
async def test_an_engine_lost_in_mid_stream_ends_the_stream_with_an_error(cut: bytes) -> None:
    async with stack() as s:
        s.upstream.die, s.upstream.cut = True, cut
        words: list[str] = []

        async def read() -> None:
            async with openai.AsyncOpenAI(base_url=s.url + "/v1", api_key="x", max_retries=0) as client:
                stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)  # pyright: ignore
                async for chunk in stream:
                    words.append(chunk.choices[0].delta.content or "")

        with pytest.raises(openai.APIError, match="the engine was lost"):
            await read()
        assert words == ["", "Hel"]
        finished = (await s.until(RequestFinished))[0]
        assert (finished.status, finished.finish) == (502, "error")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_goes_away_takes_its_request_along(streamed: bool) -> None:
    async with stack() as s:
        s.upstream.gate = asyncio.Event()
        body = {"messages": MESSAGES, "stream": streamed}
        asked = asyncio.create_task(s.client.post(s.url + CHAT, json=body))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        if streamed:
            (await asked).close()
        asked.cancel()
        await asyncio.wait_for(s.upstream.gone.wait(), 10)
        await asyncio.wait_for(s.upstream.abort_seen.wait(), 10)
        assert s.upstream.aborted == [s.of(RequestArrived)[0].rid]
        finished = (await s.until(RequestFinished))[0]
        assert (finished.finish, finished.status) == ("abort", 499)
        assert (await s.until(AnswerGiven))[0].finish == "abort"
        assert s.front.in_flight == 0
