"""Prefills what is likely to be asked next: a request of one output token that the engine knows for what it is.

What to prefill is known as token ids, so that any beginning of it can be prefilled alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.identity.prompts import GENERATE_ROUTE

from .anchors import AnchorBook, tokenized
from .engine.protocol import IN_BAND, Identity
from .front_errors import FrontError
from .front_paths import Asked, PathBook

MAX_RENDERED = 16
"""Paths whose token ids are kept, for the next step of the same."""


class Warm(msgspec.Struct, frozen=True):
    """Token ids to prefill for an agent, in the cache namespace of its own requests."""

    agent: str
    session: str
    tenant: str
    salt: str | None
    anchor_tokens: int
    ids: Sequence[int]

    def body(self, rid: str) -> dict[str, Any]:
        """What SGLang is asked."""
        identity = Identity(
            agent=self.agent, session=self.session, tenant=self.tenant, anchor=self.anchor_tokens, warm=True
        )
        params = {"max_new_tokens": 1, "temperature": 0, "custom_params": {IN_BAND: msgspec.structs.asdict(identity)}}
        asked: dict[str, Any] = {"input_ids": list(self.ids), "sampling_params": params, "rid": rid}
        return asked if self.salt is None else {**asked, "cache_salt": self.salt}


class _Rendered(msgspec.Struct, frozen=True):
    asked: Asked
    ids: array[int]


class Warmer:
    """Finds what an agent's anchor, or its next prompt in a session, is made of."""

    def __init__(self, anchors: AnchorBook, paths: PathBook, headers: Mapping[str, str]) -> None:
        self._anchors, self._paths, self._headers = anchors, paths, headers
        self._rendered: Bounded[tuple[str, str], _Rendered] = Bounded(MAX_RENDERED)

    async def prefill(
        self, client: aiohttp.ClientSession, upstream: str, agent: str, session: str, most_tokens: int, rid: str
    ) -> int:
        """Prefill it, its first `most_tokens` if that is not 0; returns how many that were. Raises FrontError if it is
        not known, or if the engine is lost or does not take it. Cancelling closes the connection."""
        try:
            warm = await self._path(client, upstream, agent, session) if session else self._anchor(agent)
            warm = msgspec.structs.replace(warm, ids=warm.ids[: most_tokens or None])
            async with client.post(f"{upstream}{GENERATE_ROUTE}", json=warm.body(rid), headers=self._headers) as answer:
                said = await answer.read()
        except aiohttp.ClientError as error:
            raise FrontError(f"the engine was lost while it warmed {agent!r}") from error
        if answer.status != 200:
            raise FrontError(f"the engine refused to warm {agent!r}: {said[:300].decode('utf-8', 'replace')}")
        return len(warm.ids)

    def _anchor(self, agent: str) -> Warm:
        anchor = self._anchors.get(agent)
        if anchor is None:
            raise FrontError(f"the anchor of agent {agent!r} is not known yet")
        return Warm(agent, "", anchor.tenant, anchor.salt, len(anchor.ids), anchor.ids)

    async def _path(self, client: aiohttp.ClientSession, upstream: str, agent: str, session: str) -> Warm:
        """A conversation of the agent in a session, rendered by SGLang as the agent's own request would be."""
        try:
            rendered = await self._render(client, upstream, agent, session)
        except (TimeoutError, msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise FrontError(f"what agent {agent!r} will be asked could not be rendered: {error}") from error
        asked = rendered.asked
        return Warm(agent, session, asked.tenant, asked.salt, self._anchors.tokens(agent), rendered.ids)

    async def _render(self, client: aiohttp.ClientSession, upstream: str, agent: str, session: str) -> _Rendered:
        """Raises RecursionError or ValueError for what callers can send and nobody can write down again."""
        asked = self._paths.likely(session, agent)
        if asked is None:
            raise FrontError(f"what agent {agent!r} will be asked in session {session!r} is not known")
        known = self._rendered.get((session, agent))
        if known is None or known.asked != asked:
            body = {**asked.shown, "messages": [*asked.head, *asked.talk]}
            ids = await tokenized(client, upstream, body, self._headers)
            known = self._rendered.put((session, agent), _Rendered(asked, array("q", ids)))
        return known
