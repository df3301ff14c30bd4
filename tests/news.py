"""Waiting for what other tasks bring about, which is looked at again whenever there may be news of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class News:
    """Whoever changes something that is waited for says `come`."""

    def __init__(self) -> None:
        self._come = asyncio.Event()

    def come(self) -> None:
        self._come.set()

    async def until(self, found: Callable[[], T], timeout_s: float) -> T:
        """What is found, once it is not nothing. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not (what := found()):
                self._come.clear()
                await self._come.wait()
        return what
