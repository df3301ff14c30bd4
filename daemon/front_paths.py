"""What each agent was last asked in each live session, so that its likely next prompt can be prefilled ahead.

Kept in memory only, within a budget of bytes, and never recorded or published.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.identity.prompts import CHAT_ROUTES, head_messages
from radixdeck.policies.identity.who import Who

from .anchors import RENDERED
from .front_roles import Messages, Roles

MAX_BYTES = 64 << 20
MAX_PATHS = 16_384
MAX_AGENTS = 1_024
MAX_SESSIONS = 4_096
NONE = ""
"""The session of heads whose session is over."""


class Asked(msgspec.Struct, frozen=True):
    """One chat request as far as it is rendered: `head`, the agent's own messages before the conversation; `said`, how
    many messages of that came before what the agent found out by tools since another one was asked; `shown`, the other
    fields that SGLang renders."""

    agent: str
    tenant: str
    salt: str | None
    head: Messages
    talk: Messages
    said: int
    shown: dict[str, Any]
    size_bytes: int


class _Latest(msgspec.Struct, frozen=True):
    """Who was asked last in a session, and whether its agents go on where another one left it; None: not known yet."""

    agent: str
    shared: bool | None


class PathBook:
    """The last request of each session and agent; those unused for longest go when `max_bytes` are full. Nothing is
    kept while nobody `wanted` it.

    All that is said is in `_asked` and counted there; the rest only points to it.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, wanted: Callable[[], bool] = lambda: True) -> None:
        self._max_bytes = max_bytes
        self._wanted = wanted
        self._roles = Roles()
        self._forget()

    def _forget(self) -> None:
        self._bytes = 0
        self._asked: OrderedDict[tuple[str, str], Asked] = OrderedDict()
        self._latest: Bounded[str, _Latest] = Bounded(MAX_SESSIONS)
        self._sessions: Bounded[str, str] = Bounded(MAX_AGENTS)  # where each agent was asked last
        self._joins: Bounded[str, bool] = Bounded(MAX_AGENTS)  # whether it went on where another had left it
        self._tells: Bounded[str, bool] = Bounded(MAX_AGENTS)  # whether others were shown what it found out by tools

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
        latest, before = self._talk_of(who.session)
        shared = latest.shared if latest is not None else None
        said = len(talk)
        if before is not None and before.agent != who.agent:
            shared = self._goes_on(who.agent, talk, before)
            self._joins.put(who.agent, shared)
        elif before is not None and talk[: before.said] == before.talk[: before.said]:
            said = before.said
        self._keep((who.session, who.agent), Asked(who.agent, who.tenant, salt, head, talk, said, shown, size_bytes))
        self._latest.put(who.session, _Latest(who.agent, shared))
        self._sessions.put(who.agent, who.session)

    def _goes_on(self, agent: str, talk: Messages, before: Asked) -> bool:
        """Whether an agent is shown what another one was; what that one found out by tools may be its own affair."""
        whole = self._roles.go_on(agent, talk, before.agent, before.talk)
        if before.said == len(before.talk):
            return whole
        shared = whole or self._roles.go_on(agent, talk, before.agent, before.talk[: before.said])
        if shared:
            self._tells.put(before.agent, whole)
        return shared

    def _shown_to_others(self, asked: Asked) -> Messages:
        return asked.talk if self._tells.get(asked.agent) else asked.talk[: asked.said]

    def ended(self, session: str) -> None:
        """Nobody is asked in the session any more. The heads of its agents are of use in the next one."""
        self._latest.pop(session)
        for asked in [self._drop(key) for key in list(self._asked) if key[0] == session]:
            if self._sessions.get(asked.agent) == session:
                self._sessions.put(asked.agent, NONE)
                head = msgspec.structs.replace(asked, talk=[], said=0, size_bytes=_head_bytes(asked))
                self._keep((NONE, asked.agent), head)

    def _keep(self, key: tuple[str, str], asked: Asked) -> None:
        if key in self._asked:
            self._drop(key)
        self._asked[key] = asked
        self._bytes += asked.size_bytes
        while self._bytes > self._max_bytes or len(self._asked) > MAX_PATHS:
            self._drop(next(iter(self._asked)))

    def _drop(self, key: tuple[str, str]) -> Asked:
        dropped = self._asked.pop(key)
        self._bytes -= dropped.size_bytes
        return dropped

    def _talk_of(self, session: str) -> tuple[_Latest | None, Asked | None]:
        """The latest conversation of a session; None, None if it is not kept."""
        latest = self._latest.get(session)
        asked = self._asked.get((session, latest.agent)) if latest is not None else None
        return (latest, asked) if asked is not None else (None, None)

    def likely(self, session: str, agent: str) -> Asked | None:
        """What the agent will most likely be asked in the session, as far as it is known: its own last request there,
        or its head before the latest conversation if the agents of the session share one, which is in the cache under
        the salt it came with; without what the last one found out by tools, unless others were shown that before. None:
        not known."""
        own = self._asked.get((session, agent))
        latest, talk = self._talk_of(session)
        if latest is None or talk is None or latest.agent == agent:
            return own
        if not (bool(self._joins.get(agent)) if latest.shared is None else latest.shared):
            return own
        head = own or self._asked.get((self._sessions.get(agent) or NONE, agent))
        if head is None:
            return None
        mine = self._shown_to_others(own) if own is not None else []
        seen = self._roles.shown_to(agent, mine, latest.agent, self._shown_to_others(talk))
        return msgspec.structs.replace(head, talk=seen, said=len(seen), salt=talk.salt, tenant=talk.tenant)


def _head_bytes(asked: Asked) -> int:
    """Size of what is left of it without its conversation."""
    try:
        return len(msgspec.json.encode((asked.head, asked.shown)))
    except RecursionError:  # it could just be read; here it is nested one deeper
        return asked.size_bytes
