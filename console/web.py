"""The console in a browser: textual-serve on loopback, behind a key that only who started it is told.

Every tab runs a console of its own. What opens the page can give orders, so other sites that the browser shows are kept
out, by the name that was asked for and by the page that asks, and other users of the machine as long as they do not
learn the key.
"""

# textual-serve types paths without their parameter.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
COOKIE = "radixdeck_key"
SHUTDOWN_S = 2.0
"""Open tabs are not waited for longer."""
CONSOLE = (sys.executable, "-m", "radixdeck.console.cli")

FOREIGN = re.compile(r"<link[^>]*https?://[^>]*>")
"""The page's font from another site; without it the browser takes its own."""
FOCUS = """<script>
const waiting = setInterval(() => {
  const input = document.querySelector(".xterm-helper-textarea");
  if (input) { input.focus(); clearInterval(waiting); }
}, 100);
</script>"""
"""Keys go to the console without a click first."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebError(Exception):
    """It cannot be served. The message says why."""


class DeckServer(Server):
    """textual-serve with a lock. `words`: the radixdeck command that every tab runs; `key`: what opens it, kept in
    `cookie`, whose name has the port: browsers keep those of all ports of a host together."""

    def __init__(self, words: Sequence[str], port: int) -> None:
        super().__init__(shlex.join([*CONSOLE, *words]), host=HOST, port=port, title="radixdeck")
        self.cookie = f"{COOKIE}_{port}"
        self.key = secrets.token_urlsafe(18)

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"{self.origin}/?key={quote(self.key)}"

    async def make_app(self) -> web.Application:
        """The application with the lock before everything."""
        app = await self._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: `serve` says where it listens."""

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what does not come from a page of ours, opened with the key."""
        if request.headers.get("Host") != f"{HOST}:{self.port}":
            return _refused(f"this console is at {self.origin}")
        if request.headers.get("Origin", self.origin) != self.origin:
            return _refused("another page may not use this console")
        told = request.query.get("key", "") if request.path == "/" else ""
        known = told or request.cookies.get(self.cookie, "")
        if not secrets.compare_digest(known.encode(), self.key.encode()):
            return _refused("open the address that `radixdeck web` printed, with its key")
        response = await handler(request)
        if request.path == "/":
            self._finish(response)
        return response

    def _finish(self, page: web.StreamResponse) -> None:
        """Our changes to the page, and the key for what it asks for next."""
        if isinstance(page, web.Response) and page.text:
            page.text = FOREIGN.sub("", page.text).replace("</body>", f"{FOCUS}</body>")
        page.set_cookie(self.cookie, self.key, httponly=True, samesite="Strict")
        page.headers.update(self._headers())

    def _headers(self) -> dict[str, str]:
        """Nothing is loaded from elsewhere, nobody frames the page, the key is in no other site's log."""
        allowed = (
            f"default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws://{HOST}:{self.port}; "
            "frame-ancestors 'none'"
        )
        return {"Content-Security-Policy": allowed, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def _refused(words: str) -> web.Response:
    return web.Response(status=403, text=f"radixdeck: {words}\n")


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises WebError."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise WebError(f"port {port} of {HOST}: {error.strerror or error}") from error


def serve(words: Sequence[str], port: int, say: Callable[[str], Any]) -> None:
    """Serve until Ctrl-C. Raises WebError."""
    listening = listen(port)
    server = DeckServer(words, listening.getsockname()[1])
    say(f"open {server.url}\nonly from this machine; every tab is a console of its own; ctrl+c ends it")
    web.run_app(server.make_app(), sock=listening, print=None, access_log=None, shutdown_timeout=SHUTDOWN_S)
