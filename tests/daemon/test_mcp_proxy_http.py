"""The real proxy before a real MCP server over streamable HTTP, with the SDK's own client and server."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

import uvicorn
from mcp import MCPError, StdioServerParameters
from mcp_types import ElicitResult, ErrorData, JSONRPCError, JSONRPCRequest
from relay_sides import Sides
from test_mcp_proxy import RULES, Rig, refused, rigged

from radixdeck.demos.mcp_store import build

TOKEN = "a-secret-of-the-test"


class Guarded:
    """An application that lets in only who knows the token."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        told = dict(scope.get("headers", ()))
        if scope["type"] == "http" and told.get(b"authorization") != TOKEN.encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """`up`: it serves."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1))
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def served(log: Path) -> AsyncGenerator[tuple[str, Callable[[], Awaitable[None]]]]:
    """A store at a URL, and what ends it."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = Server(Guarded(build(log, 0.0).streamable_http_app()))
    serving = asyncio.create_task(server.serve([listening]))
    await server.up.wait()

    async def stop() -> None:
        server.should_exit = True
        await asyncio.wait([serving])
        listening.close()

    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", stop
    finally:
        await stop()


def proxied(rules: Path, *more: str, token: str = TOKEN) -> StdioServerParameters:
    arguments = ["-m", "radixdeck.console.cli", "mcp-proxy", "--rules", str(rules), *more]
    return StdioServerParameters(command=sys.executable, args=arguments, env=os.environ | {"MY_TOKEN": token})


@asynccontextmanager
async def rig(folder: Path, url: str, log: Path, **more: Any) -> AsyncGenerator[Rig]:
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    server = proxied(rules, "--url", url, "--header", "Authorization=MY_TOKEN")
    async with rigged(server, log, folder / "said", **more) as r:
        yield r


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_everything_passes_and_repeats_are_answered(tmp_path: Path, mode: str) -> None:
    async def says(*_: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    log = tmp_path / "log"
    async with served(log) as (url, _), rig(tmp_path, url, log, mode=mode, elicitation_callback=says) as r:
        assert {tool.name for tool in (await r.client.list_tools()).tools} >= {"get", "put", "search"}
        assert "a store" in str((await r.client.read_resource("store://about")).contents[0])
        assert await r.call("put", key="a", value="one") == "stored"
        assert [await r.call("get", key="a") for _ in range(6)] == ["one"] * 6
        assert r.ran == ["put", "get", "get", "get"]
        assert await r.call("put", key="a", value="two") == "stored"
        assert [await r.call("get", key="a") for _ in range(2)] == ["two"] * 2
        assert (await r.client.call_tool("fails", {})).is_error
        if mode == "legacy":
            assert await r.call("asks", key="a") == "decline"
    assert "tool calls answered from memory" in r.said
    assert TOKEN not in r.said


async def test_a_server_that_cannot_be_reached_is_an_error_of_the_call_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with served(log) as (url, stop), rig(tmp_path, url, log, mode="auto") as r:
        assert await r.call("get", key="a") == "nothing"
        await stop()
        with pytest.raises(MCPError):
            await r.call("get", key="b")
        with pytest.raises(MCPError):
            await r.call("put", key="a", value="x")
    assert "tool put unsettled" in r.said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--url", "ftp://here"], "--url is no http"),
        (["--url", "http://["], "--url is no http"),
        (["--url", "http://127.0.0.1:1/mcp", "--header", "Authorization=NO_SUCH_VARIABLE_HERE"], "that is set"),
        (["--url", "http://127.0.0.1:1/mcp", "--", "true"], "or where it is: --url"),
        (["--header", "Authorization=MY_TOKEN", "--", "true"], "needs --url"),
        (["--url", "http://127.0.0.1:1/mcp", "--header", f"Authorization: Bearer {TOKEN}"], "write NAME=VARIABLE"),
        (["--url", "http://127.0.0.1:1/mcp", "--header", f"Authorization: Bearer {TOKEN}="], "write NAME=VARIABLE"),
        (["--url", "http://127.0.0.1:1/mcp", "--header", TOKEN], "write NAME=VARIABLE"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, more: list[str], says: str) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    ran = refused(tmp_path, proxied(rules, *more))
    assert says in ran.stderr
    assert TOKEN not in ran.stderr
    assert ran.returncode == 2


@pytest.mark.parametrize(("code", "settled"), [(-32602, True), (-32603, False)])
async def test_a_change_whose_answer_is_lost_may_go_on(code: int, settled: bool) -> None:
    s = Sides(may_go_on=True)
    changing = await s.call("put")
    error = JSONRPCError(jsonrpc="2.0", id=changing, error=ErrorData(code=code, message="lost"))
    await s.relay.from_server(error)
    assert await s.whole()
    assert await s.whole() != settled


@pytest.mark.parametrize(("code", "settled"), [(-32601, True), (-32603, False)])
async def test_so_may_a_method_nobody_knows(code: int, settled: bool) -> None:
    s = Sides(may_go_on=True)
    await s.relay.from_client(JSONRPCRequest(jsonrpc="2.0", id="m", method="x/change"))
    await s.relay.from_server(JSONRPCError(jsonrpc="2.0", id="m", error=ErrorData(code=code, message="lost")))
    assert await s.whole()
    assert await s.whole() != settled
