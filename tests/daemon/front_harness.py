"""A real HTTP server that speaks as SGLang's does, and a front before it, both on loopback sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from radixdeck.daemon.anchors import AnchorBook
from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.front import Front
from radixdeck.daemon.replicas import Replicas
from radixdeck.policies.identity.identities import Identities

TOOL_CALL = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "search", "arguments": '{"q":"a"}'}}

CHECKED = ("/v1/chat/completions", "/generate", "/v1/tokenize", "/abort_request")
"""Routes on which SGLang insists on the content type of JSON."""


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "matched_stop": None}
    return event(id="x", object="chat.completion.chunk", model="m", choices=[choice], usage=None, **more)


class Upstream:
    """Records what it gets. `words`: what it streams; `gate`: it waits for this before the second word;
    `die`: it drops the connection there instead; `cut`: bytes it sends just before dropping it;
    `tells_usage`: its streams end with the token counts; `key`: the API key it insists on; `begins`: it waits for this
    before it answers at all; `model`: what it serves; `status`: what it answers with; `fails_in_stream`: its streams
    begin with an error; `stays_open`: such a stream waits for this before it ends; `site`: where it listens; `says`:
    its answer to a chat that is not streamed."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Mapping[str, str], Any]] = []
        self.aborted: list[str] = []
        self.words = ["Hel", "lo"]
        self.says = "Hello"
        self.gate: asyncio.Event | None = None
        self.begins: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()
        self.abort_seen = asyncio.Event()
        self.die = False
        self.cut = b""
        self.tools = False
        self.tells_usage = True
        self.tokenize_failures = 0
        self.key = ""
        self.model = "m"
        self.status = 200
        self.fails_in_stream = False
        self.stays_open: asyncio.Event | None = None
        self.site: web.BaseSite
        self.url = ""

    @property
    def last(self) -> Any:
        """Body of the last generating request."""
        return next(body for path, _, body in reversed(self.requests) if path not in ("/v1/tokenize", "/abort_request"))

    @property
    def last_headers(self) -> Mapping[str, str]:
        return next(h for path, h, _ in reversed(self.requests) if path not in ("/v1/tokenize", "/abort_request"))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        try:
            body = json.loads(data) if data else None
        except ValueError:
            body = data
        self.requests.append((request.path, request.headers, body))
        if refusal := self._refusal(request):
            return refusal
        if request.path == "/abort_request":
            self.aborted.append(body["rid"])
            self.abort_seen.set()
            return web.Response()
        if request.path == "/v1/tokenize":
            return self._tokenize(body)
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})
        if body is None and request.path != "/echo":
            return web.Response()
        if request.path == "/echo":
            return web.Response(body=data, headers={"X-Method": request.method, "X-Path": request.raw_path})
        return await self._generated(request, body)

    async def _generated(self, request: web.Request, body: Any) -> web.StreamResponse:
        await self._wait(self.begins)
        if self.status != 200:
            return web.json_response({"error": {"message": f"HTTP {self.status} of {self.model}"}}, status=self.status)
        if isinstance(body, dict) and body.get("model") == "missing":
            return web.json_response({"object": "error", "message": "no such model", "code": 404}, status=404)
        if isinstance(body, dict) and body.get("stream"):
            return await self._stream(request)
        return await self._whole(request, body)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        if request.path in CHECKED and request.content_type != "application/json":
            return web.json_response({"error": "only application/json is allowed"}, status=400)
        return None

    def _tokenize(self, body: Any) -> web.Response:
        if self.tokenize_failures:
            self.tokenize_failures -= 1
            return web.json_response({"error": "not now"}, status=500)
        text = json.dumps(body.get("tools")) + "".join(m["role"] + m["content"] for m in body["messages"])
        return web.json_response({"tokens": list(text.encode()), "count": len(text), "max_model_len": 1})

    async def _whole(self, request: web.Request, body: Any) -> web.Response:
        await self._pause(request)
        prompt_tokens = len(body.get("input_ids", ())) or 11 if isinstance(body, dict) else 11
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 3, "total_tokens": prompt_tokens + 3}
        if request.path == "/generate":
            meta = {"id": body.get("rid"), "finish_reason": {"type": "length", "length": 3}, **usage}
            return web.json_response({"text": "Hello", "meta_info": meta})
        message: dict[str, Any] = {"role": "assistant", "content": None if self.tools else self.says}
        if self.tools:
            message["tool_calls"] = [TOOL_CALL]
        finish = "tool_calls" if self.tools else "stop"
        choices = [{"index": 0, "message": message, "finish_reason": finish}]
        return web.json_response(
            {"id": body.get("rid"), "object": "chat.completion", "choices": choices, "usage": usage}
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.fails_in_stream:
            await response.write(event(error={"message": "no memory", "code": 500}))
            await self._wait(self.stays_open)
            return response
        await response.write(chat_chunk({"role": "assistant", "content": ""}))
        for count, word in enumerate(self.words):
            if count == 1:
                await self._pause(request, response)
            await response.write(chat_chunk({"content": word}))
        if self.tools:
            await response.write(chat_chunk({"tool_calls": [TOOL_CALL]}))
        await response.write(chat_chunk({}, "tool_calls" if self.tools else "stop"))
        if self.tells_usage:
            await response.write(event(id="x", choices=[], usage={"prompt_tokens": 11, "completion_tokens": 3}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _wait(self, gate: asyncio.Event | None) -> None:
        try:
            if gate is not None:
                await gate.wait()
        except asyncio.CancelledError:
            self.gone.set()
            raise

    async def _pause(self, request: web.Request, response: web.StreamResponse | None = None) -> None:
        self.reached.set()
        await self._wait(self.gate)
        if self.die:
            if response is not None and self.cut:
                await response.write(self.cut)
            assert request.transport is not None
            request.transport.abort()


class Stack:
    """The upstream, the front before it, and all that the front reported."""

    def __init__(self, engine_key: str | None = None) -> None:
        self.upstream = Upstream()
        self.away: tuple[str, float] | None = None
        self.reports: list[Any] = []
        self.news = asyncio.Event()
        self.banned: dict[str, str] = {}
        self.url = ""
        self.front: Front
        self.replicas: Replicas
        self.anchors = AnchorBook(upstream=self.up, hint=self.report, now_ns=now_ns, engine_key=engine_key)
        self.client: aiohttp.ClientSession

    def up(self) -> str | None:
        return None if self.away else self.upstream.url

    def report(self, fact: Any) -> None:
        self.reports.append(fact)
        self.news.set()

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.reports if isinstance(fact, kind)]

    async def until(self, kind: type[Any], count: int = 1) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self.news.clear()
                await self.news.wait()
        return self.of(kind)

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        async with self.client.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def chat(self, *contents: str, headers: Mapping[str, str] | None = None, **more: Any) -> tuple[int, Any]:
        messages = [{"role": "user", "content": content} for content in contents]
        return await self.post("/v1/chat/completions", {"model": "m", "messages": messages, **more}, headers)

    @property
    def carried(self) -> dict[str, Any]:
        """The identity the engine got with the last request."""
        return self.upstream.last["custom_params"]["radixdeck"]


@asynccontextmanager
async def serving(upstream: Upstream, at: socket.socket | None = None) -> AsyncIterator[Upstream]:
    """An upstream on a socket of its own, or at one that is bound."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    upstream.site = web.SockSite(runner, at) if at else web.TCPSite(runner, "127.0.0.1", 0)
    await upstream.site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield upstream
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stack(second: Upstream | None = None, **options: Any) -> AsyncIterator[Stack]:
    """`second`: a second engine, which serves already."""
    made = Stack(options.get("engine_key"))
    keys = options.get("api_keys") or {}
    made.replicas = Replicas(
        [second.url.replace("://", f"://:{second.key}@") if second.key else second.url] if second else [],
        upstream=made.up, front=lambda: made.url, wanted=lambda: True, emit=made.report, now_ns=now_ns,
        key=options.get("engine_key"),
    )  # fmt: skip
    made.front = Front(
        host="127.0.0.1",
        port=0,
        upstream=made.up,
        why_down=lambda: made.away or ("", 1.0),
        emit=made.report,
        hint=made.report,
        quarantined=made.banned.get,
        identities=Identities(tenants=frozenset(keys.values())),
        anchors=made.anchors,
        now_ns=now_ns,
        replicas=made.replicas,
        **options,
    )
    async with serving(made.upstream):
        made.url = await made.front.start()
        made.client = aiohttp.ClientSession()
        if second is not None:
            await made.replicas.look(made.client)
        try:
            yield made
        finally:
            await made.client.close()
            await made.front.stop()
