"""SGLang's server as it comes: the same supervisor starts it, but it has no plug-in, no link and no front; and what a
benchmark is told for every server it starts."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import get_args

import aiohttp

from radixdeck.daemon.engine.args import EngineSpec, Size
from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.engine.protocol import EngineSetup
from radixdeck.daemon.paths import home_of

from .live import ready, warm_up
from .progress import Progress


def parse_for_servers(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What `parser` makes of a command line, `sys.argv` if None, that also says what the servers are to be: `size` of
    the model made on the spot, and `sglang_args`, all that follows the first `--`. Exits where a word is not known."""
    parser.add_argument("--size", choices=get_args(Size), default="demo", help="of the model made on the spot")
    parser.epilog = "What follows -- goes to every SGLang server unchanged."
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:cut], argparse.Namespace(sglang_args=tuple(words[cut + 1 :])))


@asynccontextmanager
async def open_stock(spec: EngineSpec, home: str, progress: Progress) -> AsyncGenerator[str]:
    """URL of a warm SGLang with an empty cache for the length of the block. Raises EngineNotReady or LiveError.

    `spec.cache` should be `sglang`; logs and models go to the folder `home`.
    """
    paths = home_of(home)
    engine = Engine(spec, EngineSetup(), "", paths.logs, paths.models, node="stock")
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
