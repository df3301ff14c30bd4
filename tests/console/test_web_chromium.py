"""`radixdeck web` in a real Chromium: it draws, takes keys and clicks, and loads nothing from elsewhere."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import PATIENCE_S, find_chromium, open_page
from scenario import run_events
from staging import recorded
from typed import environment

pytest.importorskip("textual_serve", reason="the extra 'web' is not installed: pip install 'radixdeck[web]'")
CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH, and RADIXDECK_CHROMIUM names none")


async def test_the_console_in_chromium(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    (await recorded(tmp_path / "run.db", run_events())).close()
    command = ["-m", "radixdeck.console.cli", "web", str(tmp_path / "run.db"), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env=environment(tmp_path), cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            said = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?key=\S+", said)
        assert found, said
        async with open_page(CHROMIUM, tmp_path / "profile") as page:
            await page.call("Page.navigate", url=found[0])
            await page.drawn("box-1", "recorded", "fleet")
            assert await page.evaluate("document.body.classList.contains('-first-byte')")
            assert await page.evaluate("document.querySelectorAll('.xterm canvas').length") > 0
            first = await page.picture()

            await page.true("document.activeElement.className === 'xterm-helper-textarea'")
            page.frames = ""
            await page.press("2")
            await page.drawn("KV pool, 4,000 tok", "under the cursor")
            page.frames = ""
            await page.click(300, 100)
            await page.drawn("prefix shared by")
            assert await page.picture() != first

            asked = {urlsplit(address).netloc for address in page.loaded if not address.startswith(("data:", "blob:"))}
            assert asked == {urlsplit(found[0]).netloc}
            assert not page.errors
    finally:
        process.terminate()
        await process.wait()
