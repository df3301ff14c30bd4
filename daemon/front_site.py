"""Listening: an HTTP server in which one function answers every request, whatever its route."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web
from yarl import URL

from .front_errors import FrontError

_ENDING_SLASHES = re.compile(r"(?:/|%2[fF])+$")


async def listen(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]], host: str, port: int, max_body_bytes: int
) -> tuple[web.AppRunner, str]:
    """The server, to be cleaned up, and its URL. Port 0 picks a free one. A handler is cancelled when its caller goes
    away. Raises FrontError if the address cannot be had."""
    app = web.Application(client_max_size=max_body_bytes)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        logger=_muted(),
        shutdown_timeout=2.0,
        max_field_size=32_768,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise FrontError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return runner, _url(host, cast("int", runner.addresses[0][1]))


def without_end_slash(request: web.Request) -> web.Request:
    """The same request with no slash at its path's end. SGLang answers such a one by sending the caller to its own
    address, past the front and all that holds here."""
    path = _ENDING_SLASHES.sub("", request.rel_url.raw_path)
    if not path or path == request.rel_url.raw_path:
        return request
    return request.clone(rel_url=URL.build(path=path, query_string=request.rel_url.raw_query_string, encoded=True))


def lower_headers(request: web.Request) -> dict[str, str]:
    """Headers, their names in small letters."""
    return {name.lower(): value for name, value in request.headers.items()}


def _url(host: str, port: int) -> str:
    """The URL to reach a listening address at; a wildcard address is reached over loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _muted() -> logging.Logger:
    """The HTTP server's own log: it quotes what callers send, keys included, so it goes nowhere."""
    logger = logging.getLogger("radixdeck.front.http")
    logger.disabled = True
    return logger
