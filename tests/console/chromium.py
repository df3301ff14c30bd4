"""A real Chromium over its DevTools: opens a page, types, clicks, hears its websocket, takes pictures."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
PATIENCE_S = 30.0


def find_chromium() -> str | None:
    """The one that RADIXDECK_CHROMIUM names, else one on PATH."""
    told = os.environ.get("RADIXDECK_CHROMIUM", "")
    return shutil.which(told) if told else next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """The one page of a Chromium. `frames`: what its websockets received, as text; `loaded`: every address asked for;
    `errors`: what its scripts threw."""

    def __init__(self, devtools: aiohttp.ClientWebSocketResponse) -> None:
        self.frames = ""
        self.loaded: list[str] = []
        self.errors: list[str] = []
        self._devtools = devtools
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        """Take in what Chromium says, until it ends."""
        async for message in self._devtools:
            told = message.json()
            if "id" in told:
                self._calls.pop(told["id"]).set_result(told.get("result", told))
            else:
                self._happened(told["method"], told["params"])
            self._heard.set()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = len(self._calls) + 1 + max(self._calls, default=0)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        await self._devtools.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    async def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def evaluate(self, script: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    async def true(self, script: str) -> None:
        """Wait until something is so in the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.evaluate(script):  # noqa: ASYNC110 - a page's state has no event
                await asyncio.sleep(0.05)

    async def drawn(self, *words: str) -> None:
        """Wait until the console has sent all of these words, from now on."""
        async with asyncio.timeout(PATIENCE_S):
            while not all(word in self.frames for word in words):
                self._heard.clear()
                await self._heard.wait()

    async def picture(self) -> bytes:
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    def _happened(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.webSocketFrameReceived":
            payload = told["response"]["payloadData"]
            binary = told["response"]["opcode"] == 2
            self.frames += base64.b64decode(payload).decode(errors="replace") if binary else payload
        elif method == "Network.requestWillBeSent":
            self.loaded.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))


@asynccontextmanager
async def open_page(binary: str, folder: Path, width: int = 1280, height: int = 800) -> AsyncGenerator[Page]:
    """A Chromium with one empty page; it ends with the block."""
    flags = ["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--no-first-run"]
    flags += ["--remote-debugging-port=0", f"--user-data-dir={folder}", f"--window-size={width},{height}"]
    process = await asyncio.create_subprocess_exec(
        binary, *flags, "about:blank", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        host = await _devtools(process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{host}/json") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as devtools:
                page = Page(devtools)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Network", "Runtime"):
                    await page.call(f"{domain}.enable")
                yield page
                listening.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _devtools(process: asyncio.subprocess.Process) -> str:
    """host:port of its DevTools, once it says so."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(PATIENCE_S):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            said += line
            if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
                return found[1]
    raise AssertionError(f"Chromium ended at once:\n{said}")
