"""An engine of SGLang's own under supervision, for tests that look at one from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import psutil
from news import News
from processes import family_of

from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine, EngineStatus
from radixdeck.daemon.engine.protocol import EngineSetup
from radixdeck.daemon.link import EngineLink

KV_TOKENS = 3_000
SPEC = EngineSpec(device="cpu", size="tiny", kv_tokens=KV_TOKENS, cache="sglang")


class Supervised:
    """An engine with its supervision running. `told`: every status, in order; `heard`: what came over the link that it
    was told of, nothing from SGLang's own."""

    def __init__(self, spec: EngineSpec, logs: Path, models: Path) -> None:
        self.told: list[EngineStatus] = []
        self.heard: list[object] = []
        self.logs = logs
        self._news = News()
        endpoint = f"ipc://{logs}/link"
        link = EngineLink(endpoint, lambda _, batch: self.heard.extend(batch), self.heard.append)
        self.engine = Engine(spec, EngineSetup(), endpoint, logs, models, self._note)
        self.task = asyncio.create_task(self.engine.run())
        self._listening = asyncio.create_task(link.run())

    def _note(self, status: EngineStatus) -> None:
        self.told.append(status)
        self._news.come()

    async def until(self, holds: Callable[[EngineStatus], bool], timeout_s: float = 120) -> EngineStatus:
        await self._news.until(lambda: holds(self.engine.status), timeout_s)
        return self.engine.status

    @property
    def url(self) -> str:
        assert self.engine.url
        return self.engine.url

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.logs.glob("*.log"))

    async def flush(self) -> None:
        """Empty the cache."""
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/flush_cache") as answer:
            assert answer.status == 200, await answer.text()

    async def close(self) -> None:
        """Stop it and its supervision."""
        await self.engine.stop()
        self.task.cancel()
        self._listening.cancel()
        await asyncio.gather(self.task, self._listening, return_exceptions=True)

    @property
    def family(self) -> dict[str, psutil.Process]:
        return family_of(self.engine)

    async def ask(self, **more: Any) -> Any:
        client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)
        messages: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
        options: dict[str, Any] = {"model": "any", "messages": messages, "max_tokens": 24, **more}
        return await client.chat.completions.create(**options)
