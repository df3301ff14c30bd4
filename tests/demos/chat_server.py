"""A real HTTP server that speaks as SGLang's does, and misbehaves when told to: for tests of who asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Server:
    """Answers chat completions; `faults` holds what goes wrong, by call number."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: dict[int, str] = {}
        self.running = self.most_running = 0
        self.hold: asyncio.Event | None = None
        self.arrived: asyncio.Queue[Any] = asyncio.Queue()
        self.url = ""

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "small", "object": "model"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        fault = self.faults.get(len(self.calls), "")
        self.calls.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.running += 1
        self.arrived.put_nowait(body)
        self.most_running = max(self.most_running, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
            if fault.isdigit():
                error = {"error": {"message": "told to fail", "type": "engine_unavailable"}}
                return web.json_response(error, status=int(fault), headers={"Retry-After": "0"})
            return await (self._stream(request, fault) if body["stream"] else self._whole())
        finally:
            self.running -= 1

    async def _whole(self) -> web.Response:
        message = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        return web.json_response(
            {
                "id": "r1",
                "object": "chat.completion",
                "created": 1,
                "model": "small",
                "choices": [choice],
                "usage": USAGE,
            }
        )

    async def _stream(self, request: web.Request, fault: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in [] if fault == "empty" else [{"role": "assistant"}, {"content": "yes"}]:
            await response.write(sse(chunk([{"index": 0, "delta": part, "finish_reason": None}])))
        if fault == "error":
            await response.write(sse({"error": {"message": "engine died", "type": "engine_unavailable"}}))
            return response
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
            return response
        if not fault:
            await response.write(sse(chunk([], USAGE)))
        await response.write(b"data: [DONE]\n\n")
        return response


USAGE = {
    "prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104, "prompt_tokens_details": {"cached_tokens": 60},
}  # fmt: skip


def chunk(choices: list[Any], usage: Any = None) -> dict[str, Any]:
    told = {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": choices}
    return told | {"usage": usage}


def sse(payload: Any) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """One on a free port, for the length of the block."""
    told, app = Server(), web.Application()
    app.router.add_get("/v1/models", told.models)
    app.router.add_post("/v1/chat/completions", told.chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield told
    await runner.cleanup()
