"""The loops of a daemon beside what it is opened for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def going(
    loops: Mapping[str, Callable[[], Coroutine[Any, Any, None]]], stop: Callable[[], Awaitable[None]]
) -> AsyncGenerator[None]:
    """Named loops beside the block; they end once `stop` is through. If one breaks, the block is cancelled and the
    loop's error comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop(), name=name) for name, loop in loops.items()]
            try:
                yield
            finally:
                await stop()
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
