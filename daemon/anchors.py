"""Measures each agent's anchor: the tokens that every prompt of the agent begins with.

SGLang renders the agent's system messages and tools with its own chat template, followed by two different one-letter
user messages; what the two renderings have in common is the anchor, exactly. This happens in the background, one agent
after the other, and no request ever waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.events import AnchorMeasured, EngineEvent
from radixdeck.policies.identity.prompts import CHAT_ROUTES, head_messages, text_of
from radixdeck.policies.identity.who import Who
from radixdeck.storage.anchor_text import AnchorText

from .front_access import bearer

MAX_AGENTS = 1_024
MAX_TRIES = 3
BACK = 3
"""So often in a row an agent sends a version that was measured before until it is taken to be the present one again."""
MAX_WAITING = 256
RENDERED = ("model", "tools", "tool_choice", "chat_template_kwargs", "reasoning_effort")
"""Body fields that change how SGLang renders a conversation."""
_log = logging.getLogger("radixdeck.anchors")
_TIMEOUT = aiohttp.ClientTimeout(total=20)


class Anchor(msgspec.Struct):
    """`salt`: the cache salt that the agent's requests were last seen with."""

    fingerprint: str
    ids: array[int]
    tenant: str
    salt: str | None


class _Tokenized(msgspec.Struct):
    tokens: list[int]


class _Job(msgspec.Struct, frozen=True):
    who: Who
    body: dict[str, Any]
    salt: str | None

    @property
    def key(self) -> tuple[str, str]:
        return self.who.agent, self.who.fingerprint


class AnchorBook:
    """Anchors by agent: `upstream` gives the engine's URL or None, `hint` takes every AnchorMeasured, `engine_key` is
    the API key that the engine asks for, `keep` takes the text of what was measured: the recorder, if it was told to
    keep it, and nobody else. Without it no text is made."""

    def __init__(
        self,
        *,
        upstream: Callable[[], str | None],
        hint: Callable[[EngineEvent], None],
        now_ns: Callable[[], int],
        engine_key: str | None = None,
        keep: Callable[[AnchorText], None] | None = None,
    ) -> None:
        self._keep = keep
        self._headers = bearer(engine_key)
        self._upstream = upstream
        self._hint = hint
        self._now_ns = now_ns
        self._anchors: Bounded[str, Anchor] = Bounded(MAX_AGENTS)
        self._lengths: Bounded[tuple[str, str], int] = Bounded(4 * MAX_AGENTS)
        self._sights: Bounded[tuple[str, str], int] = Bounded(4 * MAX_AGENTS)
        self._tries: Bounded[tuple[str, str], int] = Bounded(4 * MAX_AGENTS)
        self._in_a_row: Bounded[str, tuple[str, int]] = Bounded(MAX_AGENTS)
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue(MAX_WAITING)
        self._queued: set[tuple[str, str]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._worker: asyncio.Task[None] | None = None

    def start(self, session: aiohttp.ClientSession) -> None:
        """Begin to measure, over this client session. Called by the front."""
        self._session = session
        self._worker = asyncio.create_task(self._work(), name="anchors")

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        self._worker = None

    def tokens(self, agent: str, fingerprint: str | None = None) -> int:
        """Length of the agent's anchor (of this version of it, if a fingerprint is given) in tokens; 0: not known."""
        if fingerprint is not None:
            return self._lengths.get((agent, fingerprint)) or 0
        anchor = self._anchors.get(agent)
        return len(anchor.ids) if anchor else 0

    def ids(self, agent: str) -> list[int] | None:
        """Token ids of the anchor that was measured last for this agent; None: not known."""
        anchor = self._anchors.get(agent)
        return list(anchor.ids) if anchor else None

    def get(self, agent: str) -> Anchor | None:
        """All that is known of the anchor that was measured last for this agent."""
        return self._anchors.get(agent)

    def note(self, who: Who, route: str, body: Mapping[str, Any], salt: str | None) -> None:
        """A request of this agent passed. Queues a measurement where one is wanted; never blocks, never raises.

        A new agent is measured at first sight; a new version of a known agent at its second, so that an agent whose
        prompt is written anew for each task costs nothing; a version that is back once it came BACK times in a row.
        """
        if not who.fingerprint or route not in CHAT_ROUTES:
            return
        key = (who.agent, who.fingerprint)
        anchor = self._anchors.get(who.agent)
        if anchor and anchor.fingerprint == who.fingerprint:
            anchor.salt = salt
            self._in_a_row.pop(who.agent)
            return
        if not self._wanted(key, new_agent=anchor is None):
            return
        self._queued.add(key)
        shown = {field: body[field] for field in RENDERED if field in body}
        self._waiting.put_nowait(_Job(who, {**shown, "messages": head_messages(body.get("messages"))}, salt))

    def _wanted(self, key: tuple[str, str], *, new_agent: bool) -> bool:
        """Of a version that is not the one known last."""
        agent, fingerprint = key
        last, times = self._in_a_row.get(agent) or (fingerprint, 0)
        times = times + 1 if last == fingerprint else 1
        self._in_a_row.put(agent, (fingerprint, times))
        if self._lengths.get(key) and not new_agent and times < BACK:
            return False  # others took its place, and it is not back for good yet
        sights = self._sights.put(key, (self._sights.get(key) or 0) + 1)
        if key in self._queued or self._waiting.full() or (self._tries.get(key) or 0) >= MAX_TRIES:
            return False
        return new_agent or sights > 1

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            try:
                await self._measure(job)
            except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, ValueError, RecursionError) as error:
                _log.info("the anchor of agent %r could not be measured: %s", job.who.agent, error)
                self._tries.put(job.key, (self._tries.get(job.key) or 0) + 1)
            finally:
                self._queued.discard(job.key)

    async def _measure(self, job: _Job) -> None:
        upstream = self._upstream()
        if upstream is None or self._session is None:
            return
        one = await self._rendered(self._session, upstream, job.body, "a")
        other = await self._rendered(self._session, upstream, job.body, "Z")
        length = next(
            (i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other))
        )
        if not length:
            raise ValueError("the two renderings have nothing in common")
        who = job.who
        self._anchors.put(who.agent, Anchor(who.fingerprint, array("q", one[:length]), who.tenant, job.salt))
        self._lengths.put(job.key, length)
        now_ns = self._now_ns()
        self._hint(AnchorMeasured(t_ns=now_ns, agent=who.agent, tokens=length, rid=""))
        if self._keep is not None:
            self._keep(AnchorText(who.agent, who.fingerprint, now_ns, length, head_text(job.body)))

    async def _rendered(
        self, session: aiohttp.ClientSession, upstream: str, body: dict[str, Any], letter: str
    ) -> list[int]:
        asked = {**body, "messages": [*body["messages"], {"role": "user", "content": letter}]}
        return await tokenized(session, upstream, asked, self._headers)


def head_text(body: Mapping[str, Any]) -> str:
    """The system messages and the tools of a body, for people to read."""
    parts = [f"[{message.get('role')}]\n{text_of(message.get('content'))}" for message in body["messages"]]
    if body.get("tools"):
        parts.append(f"[tools]\n{msgspec.json.format(msgspec.json.encode(body['tools']), indent=2).decode()}")
    return "\n\n".join(parts)


async def tokenized(
    session: aiohttp.ClientSession, upstream: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> list[int]:
    """Token ids of a conversation as SGLang renders it. Raises aiohttp.ClientError, TimeoutError or MsgspecError."""
    asking = session.post(f"{upstream}/v1/tokenize", json=body, headers=headers, timeout=_TIMEOUT)
    async with asking as response:
        response.raise_for_status()
        return msgspec.json.decode(await response.read(), type=_Tokenized).tokens
