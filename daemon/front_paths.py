"""What each agent was last asked in each live session, so that its likely next prompt can be prefilled ahead.

Kept in memory only, within a budget of bytes, and never recorded or published.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.identity import Who
from radixdeck.policies.prompts import CHAT_ROUTES, head_messages

from .anchors import RENDERED

MAX_BYTES = 64 << 20
MAX_AGENTS = 1_024
MAX_SESSIONS = 4_096

Messages = list[dict[str, Any]]


class Asked(msgspec.Struct, frozen=True):
    """One chat request as far as it is rendered: `head`, the agent's own messages before the conversation; `shown`,
    the other fields that SGLang renders."""

    agent: str
    tenant: str
    salt: str | None
    head: Messages
    talk: Messages
    shown: dict[str, Any]
    size_bytes: int


class _Talk(msgspec.Struct):
    """The latest conversation of a session, and whether it went on where another agent had left it."""

    asked: Asked
    shared: bool


class PathBook:
    """The last request of each session and agent; those unused for longest go when `max_bytes` are full. Nothing is
    kept while nobody `wanted` it."""

    def __init__(self, max_bytes: int = MAX_BYTES, wanted: Callable[[], bool] = lambda: True) -> None:
        self._max_bytes = max_bytes
        self._wanted = wanted
        self._forget()

    def _forget(self) -> None:
        self._bytes = 0
        self._asked: OrderedDict[tuple[str, str], Asked] = OrderedDict()
        self._latest: Bounded[str, _Talk] = Bounded(MAX_SESSIONS)
        self._heads: Bounded[str, Asked] = Bounded(MAX_AGENTS)

    def note(self, who: Who, route: str, body: Mapping[str, Any], salt: str | None, size_bytes: int) -> None:
        """A request of `who` passed, `size_bytes` long. Only chat conversations can be told apart and put together."""
        if not self._wanted():
            if self._asked:
                self._forget()
            return
        if route not in CHAT_ROUTES or not who.session or not isinstance(body.get("messages"), list):
            return
        head = head_messages(body["messages"])
        talk: Messages = body["messages"][len(head) :]
        shown = {field: body[field] for field in RENDERED if field in body}
        asked = Asked(who.agent, who.tenant, salt, head, talk, shown, size_bytes)
        self._keep((who.session, who.agent), asked)
        before = self._latest.get(who.session)
        shared = before is not None and before.shared
        if before is not None and before.asked.agent != who.agent:
            shared = talk[: len(before.asked.talk)] == before.asked.talk
        self._latest.put(who.session, _Talk(asked, shared))
        self._heads.put(who.agent, msgspec.structs.replace(asked, talk=[]))

    def _keep(self, key: tuple[str, str], asked: Asked) -> None:
        if (old := self._asked.pop(key, None)) is not None:
            self._bytes -= old.size_bytes
        self._asked[key] = asked
        self._bytes += asked.size_bytes
        while self._bytes > self._max_bytes:
            _, dropped = self._asked.popitem(last=False)
            self._bytes -= dropped.size_bytes

    def likely(self, session: str, agent: str) -> Asked | None:
        """What the agent will most likely be asked in the session, as far as it is known: its own last request there,
        or its head before the latest conversation if the agents of the session share one. None: not known."""
        own = self._asked.get((session, agent))
        latest = self._latest.get(session)
        if latest is None or not latest.shared or latest.asked.agent == agent:
            return own
        head = own or self._heads.get(agent)
        return msgspec.structs.replace(head, talk=latest.asked.talk) if head is not None else None
