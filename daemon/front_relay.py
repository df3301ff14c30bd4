"""Carries one request to the engine and its answer back, byte for byte and as it comes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from functools import partial

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from .front_access import end_to_end
from .front_begun import LOST, Begun, answers, read_some
from .front_errors import Refusal, bad_request, engine_away, engine_ended, engine_lost
from .front_exchange import Exchange
from .front_hedge import Race
from .front_patience import patience
from .front_sse import EventCutter

_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
IDLE_CONNECTION_S = 2.0
"""SGLang closes idle connections after 5 s; a request sent at that very moment would be lost."""
DOUBT_S = 2 * IDLE_CONNECTION_S
"""SGLang hangs up behind an error of its own without saying so: for so long, in which connections that idle are given
up, each request has one of its own."""


class CallerGone(Exception):
    """The caller closed its connection before it had its answer."""


def open_session(idle_s: float | None = IDLE_CONNECTION_S) -> aiohttp.ClientSession:
    """A client that changes nothing on the way: no decompression, cookies, redirects, limits or time-outs. `idle_s`:
    how long a connection may wait for its next request; None: there is none."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=idle_s, force_close=idle_s is None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        read_bufsize=1 << 18,
    )


class Relay:
    """`upstream`: the engine's URL, None while it is away; `why_down`: the reason, and seconds until the next try."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        upstream: Callable[[], str | None],
        why_down: Callable[[], tuple[str, float]],
    ) -> None:
        self._session = session
        self._once = open_session(idle_s=None)
        self._doubt_until_s = 0.0
        self._upstream = upstream
        self._why_down = why_down

    async def close(self) -> None:
        """Its own connections; `session` is left open."""
        await self._once.close()

    def base(self) -> str:
        """The engine's URL. Raises Refusal 503 while it is away."""
        url = self._upstream()
        if url is None:
            raise engine_away(*self._why_down())
        return url

    async def carry(
        self,
        request: web.Request,
        headers: CIMultiDict[str],
        data: bytes | AsyncIterator[bytes] | None,
        exchange: Exchange | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send the request, answer the caller; returns the answer and whether the engine gave all of it.

        Raises Refusal if the engine was away, or was lost before the answer began.
        """
        engine, send = self.base(), partial(self._send, request, data)
        try:
            if exchange is not None and exchange.late is not None and exchange.late.may_come:
                async with Race(exchange.late, exchange, send, engine, headers) as begun:
                    return await self._answer(request, begun.answer, exchange, begun)
            sent_s = time.perf_counter()
            async with await send(engine, headers) as answer:
                response, whole = await self._answer(request, answer, exchange)
                if exchange is not None and exchange.late is not None and whole and answers(answer):
                    exchange.late.learn(exchange, sent_s)
                return response, whole
        except aiohttp.ClientConnectorError as error:
            self.base()  # says why, where that is known
            raise engine_away("it does not accept connections", 1.0) from error
        except LOST as error:
            if request.content.exception() is not None:
                raise bad_request("the request body is broken") from error
            raise self._lost("the connection broke") from error

    async def _send(
        self, request: web.Request, data: bytes | AsyncIterator[bytes] | None, engine: str, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        """The answer of an engine to the request, when its headers are there."""
        url = URL(engine + request.rel_url.raw_path_qs, encoded=True)
        session = self._session if time.monotonic() >= self._doubt_until_s else self._once
        answer = await session.request(
            request.method, url, headers=headers, data=data, allow_redirects=False, skip_auto_headers=_NOT_ADDED
        )
        if answer.status >= 500:
            self._doubt_until_s = time.monotonic() + DOUBT_S
        return answer

    def _lost(self, noticed: str) -> Refusal:
        """An answer broke off. That may be all, but for an engine that is known to have ended."""
        return engine_ended(self._why_down()[0]) if self._upstream() is None else engine_lost(noticed, 1.0)

    async def _answer(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        exchange: Exchange | None,
        begun: Begun | None = None,
    ) -> tuple[web.StreamResponse, bool]:
        """`begun`: the answer, if it has been read up to where it begins."""
        headers = end_to_end(answer.headers)
        if exchange is None:
            return await self._passed(request, answer, headers), True
        if answer.content_type == "text/event-stream":
            return await self._streamed(request, answer, headers, exchange, begun)
        body = await answer.read()
        exchange.watch.feed(body)
        return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body), True

    async def _passed(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        if "Content-Length" in answer.headers:
            headers["Content-Length"] = answer.headers["Content-Length"]
        caller = await _Caller.begin(request, answer, headers)
        with _broken_off(request):
            while (data := await read_some(answer)) is not None:
                if not data:
                    return await caller.end()
                await caller.send(data)
        _break_off(request)  # half an answer must not look like a whole one
        return caller.response

    async def _streamed(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        headers: CIMultiDict[str],
        exchange: Exchange,
        begun: Begun | None,
    ) -> tuple[web.StreamResponse, bool]:
        caller = await _Caller.begin(request, answer, headers)
        cutter = begun.cutter if begun else EventCutter()
        with _broken_off(request):
            if begun is not None:
                await caller.send(begun.head)
                exchange.sent()
            while data := await read_some(answer):
                if events := cutter.feed(data):
                    exchange.watch.feed(events)
                    await caller.send(events)
                    exchange.sent()
            lost = data is None
            await caller.send(self._lost("the stream broke").event() if lost else cutter.rest())
            return await caller.end(), not lost


class _Caller:
    """The way back to the caller. All methods raise CallerGone once it is gone, and are cancelled if it is slow beyond
    patience."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self.response = response

    @classmethod
    async def begin(cls, request: web.Request, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]) -> _Caller:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        with _noticing():
            await response.prepare(request)
        return cls(request, response)

    async def send(self, data: bytes) -> None:
        if data:
            with _noticing(), patience(self._request.transport, len(data)):
                await self.response.write(data)

    async def end(self) -> web.StreamResponse:
        with _noticing(), patience(self._request.transport, 0):
            await self.response.write_eof()
        return self.response


@contextmanager
def _noticing() -> Generator[None]:
    try:
        yield
    except ConnectionError as error:
        raise CallerGone from error


@contextmanager
def _broken_off(request: web.Request) -> Generator[None]:
    """What nobody foresaw while an answer passes breaks the connection off: another answer must not stand inside it."""
    try:
        yield
    except CallerGone:
        raise
    except Exception:
        _break_off(request)
        raise


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
