"""Telling engines at once that nobody waits for a request any more: left alone, SGLang looks for closed connections
every few seconds only, and after a stream has begun waits for two."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=2)


class Aborts:
    """Orders that are on their way."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, engine: str, rid: str, headers: Mapping[str, str]) -> None:
        """Have the engine at this URL give a request up. Does not wait."""
        task = asyncio.create_task(self._post(engine, rid, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def told(self) -> None:
        """Wait until all of them are through."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _post(self, engine: str, rid: str, headers: Mapping[str, str]) -> None:
        asking = self._session.post(f"{engine}/abort_request", json={"rid": rid}, headers=headers, timeout=_TIMEOUT)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asking:
                pass
