"""The way to the MCP server behind the proxy: a command on stdio, or a URL (streamable HTTP), with the SDK's
transports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import msgspec
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse

MAX_EVENT_BYTES = 64 << 20
LEAVING_S = 2.0


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Either a command, which is started, or a URL with headers."""

    command: Sequence[str] = ()
    url: str = ""
    headers: Mapping[str, str] = {}

    @property
    def may_go_on(self) -> bool:
        """Whether a call may still be carried out when its answer is lost."""
        return bool(self.url)


@asynccontextmanager
async def streams_of(upstream: Upstream) -> AsyncGenerator[tuple[Any, Any, Callable[[JSONRPCMessage], SessionMessage]]]:
    """What comes from the server, the way to it, and what puts a message into an envelope for it."""
    if not upstream.url:
        told = StdioServerParameters(
            command=upstream.command[0], args=list(upstream.command[1:]), env=dict(os.environ)
        )  # fmt: skip
        async with stdio_client(told) as (of_server, to_server):
            yield of_server, to_server, SessionMessage
        return
    envelopes = _Envelopes()
    async with (
        _client(upstream.headers) as client,
        streamable_http_client(upstream.url, http_client=client, max_sse_event_size=MAX_EVENT_BYTES) as (
            of_server,
            to_server,
        ),
    ):
        yield envelopes.watch(of_server), to_server, envelopes.put


class _Envelopes:
    """Adds what HTTP wants to be told beside a message: version, and since 2026 method and name as well."""

    def __init__(self) -> None:
        self._version = ""
        self._asked: int | str | None = None

    def put(self, message: JSONRPCMessage) -> SessionMessage:
        headers: dict[str, str] = {}
        if isinstance(message, JSONRPCRequest):
            if message.method == "initialize":
                self._asked, self._version = message.id, ""
            headers = _headers_of(message)
        if self._version and not headers:
            headers = {MCP_PROTOCOL_VERSION_HEADER: self._version}
        return SessionMessage(message, ClientMessageMetadata(headers=headers) if headers else None)

    async def watch(self, source: Any) -> AsyncGenerator[Any]:
        """The same messages; the answer to `initialize` names the version."""
        async for item in source:
            message = item.message if isinstance(item, SessionMessage) else None
            if isinstance(message, JSONRPCResponse) and message.id == self._asked:
                self._version = str(message.result.get("protocolVersion", ""))
            yield item


def _headers_of(request: JSONRPCRequest) -> dict[str, str]:
    """Of a request that carries its version in itself; of another none."""
    params = request.params or {}
    meta = params.get("_meta")
    version = cast("dict[str, Any]", meta).get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
    if not isinstance(version, str):
        return {}
    headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: request.method}
    name = params.get(NAME_BEARING_METHODS.get(request.method, ""))
    return {**headers, MCP_NAME_HEADER: encode_header_value(name)} if isinstance(name, str) else headers


class _Client(httpx2.AsyncClient):
    """Where no answer comes, or none that is whole, it is 502: one lost request is not the end of the proxy. The last
    one, which ends a session, is not waited for long."""

    async def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        try:
            async with asyncio.timeout(LEAVING_S if request.method == "DELETE" else None):
                response = await super().send(request, **how)
                if not _is_stream(response):
                    await _read(response)
                return response
        except (httpx2.RequestError, TimeoutError):
            return httpx2.Response(502, request=request)


def _is_stream(response: httpx2.Response) -> bool:
    return response.is_success and response.headers.get("content-type", "").lower().startswith("text/event-stream")


async def _read(response: httpx2.Response) -> None:
    try:
        await response.aread()
    except BaseException:
        await response.aclose()
        raise


def _client(headers: Mapping[str, str]) -> _Client:
    """Raises RuntimeError if the environment names a proxy that cannot be used."""
    try:
        return _Client(headers=dict(headers), timeout=httpx2.Timeout(30, read=300))
    except (ImportError, ValueError, httpx2.InvalidURL) as error:  # it may quote a password
        raise RuntimeError("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy that cannot be used") from error
