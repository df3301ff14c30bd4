"""The console as a page: the real textual-serve, its lock, its websocket, and a command that says what is missing."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from scenario import run_events
from staging import recorded
from typed import environment, radixdeck

pytest.importorskip("textual_serve", reason="the extra 'web' is not installed: pip install 'radixdeck[web]'")

from radixdeck.console.web import HOST, DeckServer, WebError, listen

PATIENCE_S = 40.0


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[DeckServer]:
    """A recording as a page."""
    (await recorded(folder / "run.db", run_events())).close()
    listening = listen(0)
    server = DeckServer(["replay", str(folder / "run.db")], listening.getsockname()[1])
    runner = web.AppRunner(await server.make_app())
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield server
    finally:
        await runner.cleanup()
        # textual-serve leaves its children's pipes to the garbage collector, which must not come after the event loop.
        gc.collect()
        await asyncio.sleep(0)


def jar() -> aiohttp.CookieJar:
    """aiohttp keeps no cookies of bare addresses unless told to, as browsers do."""
    return aiohttp.CookieJar(unsafe=True)


async def shown(socket_: aiohttp.ClientWebSocketResponse, *wanted: str) -> None:
    """Read what the console draws until all of it was there."""
    seen = ""
    async with asyncio.timeout(PATIENCE_S):
        while not all(words in seen for words in wanted):
            message = await socket_.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
            seen += message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data


def consoles() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "replay" in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    """Nothing of one that ended since it was listed."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


async def test_a_page_draws_answers_keys_and_ends_with_its_tab(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, aiohttp.ClientSession(cookie_jar=jar()) as browser:
        async with browser.get(server.url) as page:
            text = await page.text()
            assert page.status == 200
            assert f"ws://{HOST}:{server.port}/ws" in text
            assert "googleapis" not in text
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        async with browser.ws_connect(f"{server.origin}/ws?width=100&height=30", origin=server.origin) as tab:
            await shown(tab, "box-1", "recorded", "fleet")
            await tab.send_json(["stdin", "2"])
            await shown(tab, "KV pool, 4,000 tok", "under the cursor")
            assert consoles()
        async with asyncio.timeout(PATIENCE_S):
            while consoles():  # noqa: ASYNC110 - another process ends without an event here
                await asyncio.sleep(0.05)


async def test_without_the_key_or_from_another_page_nothing_opens(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, aiohttp.ClientSession() as stranger:
        for path in ("/", "/?key=wrong", "/ws", "/static/js/textual.js", "/download/x"):
            async with stranger.get(f"{server.origin}{path}") as answer:
                assert answer.status == 403, path
                assert "with its key" in await answer.text()
        key = {"Cookie": f"{server.cookie}={server.key}"}
        async with stranger.get(f"{server.origin}/", headers=key) as answer:
            assert answer.status == 200
        async with stranger.get(f"http://localhost:{server.port}/", headers=key) as answer:
            assert (answer.status, await answer.text()) == (403, f"radixdeck: this console is at {server.origin}\n")
        for origin in ("http://evil.example", "null", f"http://localhost:{server.port}"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await stranger.ws_connect(f"{server.origin}/ws", headers=key, origin=origin)
        assert not consoles()


async def test_it_listens_on_loopback_alone() -> None:
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(WebError, match=f"port {listening.getsockname()[1]} of 127.0.0.1: "):
            listen(listening.getsockname()[1])


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['textual_serve'] = None; from radixdeck.console.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code, "web"], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                         env=environment(tmp_path), check=False)  # fmt: skip
    assert ran.returncode == 2
    assert "pip install 'radixdeck[web]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_cannot_be_shown_is_said_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"hello")
    ran = radixdeck(tmp_path, "web", str(tmp_path / "x.db"))
    assert (ran.returncode, "x.db" in ran.stderr, ran.stdout) == (2, True, "")
    ran = radixdeck(tmp_path, "web")
    assert ran.returncode == 3
    assert "no daemon runs here" in ran.stderr
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ran = radixdeck(tmp_path, "web", "--broker", "mqtt://127.0.0.1:1", "--port", str(port))
        assert (ran.returncode, f"port {port} of 127.0.0.1" in ran.stderr) == (2, True)
