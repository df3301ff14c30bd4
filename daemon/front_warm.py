"""Prefills an agent's anchor: a request of one output token that the engine knows for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from .anchors import Anchor
from .engine.protocol import IN_BAND, Identity
from .front_errors import FrontError


async def prefill(
    session: aiohttp.ClientSession, upstream: str, agent: str, anchor: Anchor, rid: str, headers: Mapping[str, str]
) -> None:
    """Send the anchor to the engine, in the cache namespace of the agent's own requests.

    Raises FrontError if the engine is lost or does not take it. Cancelling closes the connection.
    """
    identity = Identity(agent=agent, session="", tenant=anchor.tenant, anchor=len(anchor.ids), warm=True)
    params = {"max_new_tokens": 1, "temperature": 0, "custom_params": {IN_BAND: msgspec.structs.asdict(identity)}}
    body: dict[str, Any] = {"rid": rid, "input_ids": list(anchor.ids), "sampling_params": params}
    if anchor.salt is not None:
        body["cache_salt"] = anchor.salt
    try:
        async with session.post(f"{upstream}/generate", json=body, headers=headers) as answer:
            said = await answer.read()
    except aiohttp.ClientError as error:
        raise FrontError(f"the engine was lost while it warmed {agent!r}") from error
    if answer.status != 200:
        raise FrontError(f"the engine refused to warm {agent!r}: {said[:300].decode('utf-8', 'replace')}")
