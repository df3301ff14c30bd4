"""SGLang's server as it comes: the same supervisor starts it, but it has no plug-in, no link and no front; and what a
benchmark is told for every server it starts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.engine.protocol import EngineSetup
from radixdeck.daemon.paths import home_of

from .live import ready, warm_up
from .progress import Progress

PASSED_ON = "What follows -- goes to every SGLang server unchanged."


def passed_on(arguments: Sequence[str] | None) -> tuple[list[str], tuple[str, ...]]:
    """A command line, `sys.argv` if None, cut at its first `--`: our own words, and SGLang's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    return words[:cut], tuple(words[cut + 1 :])


@asynccontextmanager
async def open_stock(spec: EngineSpec, home: str, progress: Progress) -> AsyncGenerator[str]:
    """URL of a warm SGLang with an empty cache for the length of the block. Raises EngineNotReady or LiveError.

    `spec.cache` should be `sglang`; logs and models go to the folder `home`.
    """
    paths = home_of(home)
    engine = Engine(spec, EngineSetup(), "", paths.logs, paths.models)
    running = asyncio.create_task(engine.run())
    try:
        url = await ready(engine, progress)
        await warm_up(f"{url}/v1")
        await flush(url)
        yield url
    finally:
        await engine.stop()
        await running


async def flush(url: str) -> None:
    """Empty the cache of the engine at `url`. Raises aiohttp.ClientError."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/flush_cache") as answer:
        answer.raise_for_status()
