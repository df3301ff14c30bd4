"""Emptying the engine's cache over SGLang's own route, with its refusals in its own words."""

from __future__ import annotations

import aiohttp

from .commands import CommandRefused


async def flush(url: str | None, state: str, key: str | None) -> None:
    """POST /flush_cache at `url` (None: no engine, which is `state`). Raises CommandRefused, naming why."""
    if url is None:
        raise CommandRefused(f"flush: engine is {state}")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    try:
        async with aiohttp.ClientSession() as session, session.post(f"{url}/flush_cache", headers=headers) as answer:
            if not answer.ok:
                raise CommandRefused(f"flush: {(await answer.text()).strip()}")
    except aiohttp.ClientError as error:
        raise CommandRefused(f"flush: the engine does not answer: {error}") from error
