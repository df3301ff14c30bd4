"""Prefills what is likely to be asked next: a request of one output token that the engine knows for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from radixdeck.policies.prompts import GENERATE_ROUTE

from .anchors import Anchor
from .engine.protocol import IN_BAND, Identity
from .front_errors import FrontError
from .front_paths import Asked

CHAT_ROUTE = "/v1/chat/completions"


class Warm(msgspec.Struct, frozen=True):
    """A prompt to prefill: where it goes and what is asked there, without a request id."""

    agent: str
    route: str
    body: dict[str, Any]


class _Counted(msgspec.Struct):
    prompt_tokens: int = 0


class _Answer(msgspec.Struct):
    usage: _Counted | None = None
    meta_info: _Counted | None = None


def anchor_of(agent: str, anchor: Anchor) -> Warm:
    """The agent's anchor, in the cache namespace of the agent's own requests."""
    params = {"max_new_tokens": 1, "temperature": 0, "custom_params": _carried(agent, "", anchor.tenant, anchor)}
    body: dict[str, Any] = {"input_ids": list(anchor.ids), "sampling_params": params}
    return Warm(agent, GENERATE_ROUTE, _salted(body, anchor.salt))


def path_of(session: str, asked: Asked, anchor: Anchor | None) -> Warm:
    """A conversation of the agent in a session, rendered by SGLang as the agent's own request would be."""
    body: dict[str, Any] = {
        **asked.shown, "messages": [*asked.head, *asked.talk], "max_tokens": 1, "temperature": 0,
        "custom_params": _carried(asked.agent, session, asked.tenant, anchor),
    }  # fmt: skip
    return Warm(asked.agent, CHAT_ROUTE, _salted(body, asked.salt))


def _carried(agent: str, session: str, tenant: str, anchor: Anchor | None) -> dict[str, Any]:
    tokens = len(anchor.ids) if anchor is not None else 0
    identity = Identity(agent=agent, session=session, tenant=tenant, anchor=tokens, warm=True)
    return {IN_BAND: msgspec.structs.asdict(identity)}


def _salted(body: dict[str, Any], salt: str | None) -> dict[str, Any]:
    return body if salt is None else {**body, "cache_salt": salt}


async def prefill(
    session: aiohttp.ClientSession, upstream: str, warm: Warm, rid: str, headers: Mapping[str, str]
) -> int:
    """Send it to the engine; returns the prompt's length in tokens.

    Raises FrontError if the engine is lost or does not take it. Cancelling closes the connection.
    """
    body = {**warm.body, "rid": rid}
    try:
        async with session.post(f"{upstream}{warm.route}", json=body, headers=headers) as answer:
            said = await answer.read()
    except aiohttp.ClientError as error:
        raise FrontError(f"the engine was lost while it warmed {warm.agent!r}") from error
    if answer.status != 200:
        raise FrontError(f"the engine refused to warm {warm.agent!r}: {said[:300].decode('utf-8', 'replace')}")
    try:
        told = msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError as error:
        raise FrontError(f"the engine's answer to warming {warm.agent!r} makes no sense: {error}") from error
    counted = told.usage or told.meta_info
    return counted.prompt_tokens if counted is not None else 0
