"""The way to a server over HTTP when that server, or what lies between, does not do as it should."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

from radixdeck.daemon.tools.upstream import Upstream, streams_of

WHOLE = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-06-18"}}).encode()


def answer(body: bytes, *headers: str, more: int = 0) -> bytes:
    """`more`: bytes that are promised and do not come."""
    lines = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(body) + more}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Odd:
    """A server that says what it is told to by the method of HTTP; None: nothing, ever. `asked`: first lines."""

    def __init__(self, says: Callable[[str], bytes | None]) -> None:
        self._says = says
        self.asked: list[str] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        if (said := self._says(head.split()[0])) is None:
            await reader.read()
        else:
            writer.write(said)
        writer.close()


@asynccontextmanager
async def listening(says: Callable[[str], bytes | None]) -> AsyncGenerator[tuple[str, Odd]]:
    odd = Odd(says)
    server = await asyncio.start_server(odd.take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", odd


async def ask(of_server: Any, to_server: Any, envelope: Any, number: int = 1) -> Any:
    await to_server.send(envelope(JSONRPCRequest(jsonrpc="2.0", id=number, method="initialize", params={})))
    return (await asyncio.wait_for(anext(of_server), 10)).message


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "cut", [answer(WHOLE[:20], more=40), answer(WHOLE, "content-encoding: gzip"), b"HTTP/1.1 200 OK\r\ncontent-"]
)
async def test_an_answer_that_is_cut_off_is_an_error_of_that_call_only(cut: bytes) -> None:
    answers = [cut, answer(WHOLE.replace(b'"id": 1', b'"id": 2'))]
    async with listening(lambda _: answers.pop(0)) as (url, _), streams_of(Upstream(url=url)) as ways:
        lost = await ask(*ways)
        assert isinstance(lost, JSONRPCError)
        assert lost.id == 1
        assert isinstance(await ask(*ways, 2), JSONRPCResponse)


async def test_a_server_that_does_not_say_goodbye_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.daemon.tools.upstream.LEAVING_S", 0.1)
    whole = answer(WHOLE, "mcp-session-id: s")
    async with listening(lambda method: whole if method == "POST" else None) as (url, odd):
        async with streams_of(Upstream(url=url)) as ways:
            assert isinstance(await ask(*ways), JSONRPCResponse)
            left_s = time.monotonic()
        assert odd.asked[-1].startswith("DELETE")
        assert time.monotonic() - left_s < 5


async def test_the_proxy_that_the_environment_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(lambda _: answer(WHOLE)) as (url, odd):
        monkeypatch.setenv("HTTP_PROXY", url)
        async with streams_of(Upstream(url="http://nowhere.invalid/mcp")) as ways:
            assert isinstance(await ask(*ways), JSONRPCResponse)
        assert odd.asked == ["POST http://nowhere.invalid/mcp HTTP/1.1"]


async def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "odd://me:secret@here")
    with pytest.raises(RuntimeError, match="names a proxy that cannot be used") as raised:
        async with streams_of(Upstream(url="http://nowhere.invalid/mcp")):
            pass
    assert "secret" not in str(raised.value)
