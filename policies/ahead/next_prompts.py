"""What each agent will most likely be asked next in each session, in tokens: how long that is, how much of it is
cached, and what became of what was prefilled for it.

A tree loses what lies deepest first, so what is missing of a prompt is its end: one number says what is cached.
"""

from __future__ import annotations

import msgspec

from ..bounded import Bounded
from ..events import ActionTaken, NodeEvicted, PrefixInserted, PrefixMatched
from ..primitives import PREEMPTED
from ..shares import Share
from ..tags import tag_of
from ..tree.parts import PASSED_BY

SHARED = 0.85
"""From this share of growing prompts on, the agents of a session are taken to see one transcript."""
MAX_PATHS = 160
MAX_ANCHORS = 64
MAX_SESSIONS = 96
NO_TURN = -1


class Path(msgspec.Struct):
    """The last prompt of an agent in a session, or its anchor: `prompt_tokens`, `tokens` with the output, the first
    `cached_tokens` of which are in the cache; `said_tokens`: those before what it found out by tools since another
    agent was asked; `warm_from` to `warm_to`: prefilled and not yet asked for. Not to be prefilled in `passed_turn` of
    its session (any more)."""

    prompt_tokens: int = 0
    said_tokens: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    warm_from: int = 0
    warm_to: int = 0
    passed_turn: int = NO_TURN


class Latest(msgspec.Struct):
    """Where a session stands: the agent asked last, the tokens behind its anchor, in its last prompt and in its first
    one since another agent was asked, the number of prompts."""

    agent: str
    tail_tokens: int
    said_tokens: int
    turn: int = 0


class NextPrompts:
    """`warmed_tokens`, of which `used_tokens` were found by a request and `wasted_tokens` evicted or passed by;
    `useful`: the share that is found, lately. Anchors are kept as paths of no session."""

    def __init__(self) -> None:
        self.warmed_tokens = self.used_tokens = self.wasted_tokens = 0
        self.useful = Share(0.8)
        self.lost_again_tokens = self.evicted_tokens = 0.0
        self._paths: Bounded[tuple[str, str], Path] = Bounded(MAX_PATHS)
        self._anchors: Bounded[str, Path] = Bounded(MAX_ANCHORS)
        self._latest: Bounded[str, Latest] = Bounded(MAX_SESSIONS)
        self._asking: Bounded[int, tuple[str, str]] = Bounded(64)
        self._grows = Share(0.5)
        self._warm: tuple[int, str, str, int] | None = None
        self._warm_tokens = 0

    # ---- what is wanted ----------------------------------------------------------------------------------------------

    def wanted(self, session: str, agent: str) -> tuple[int, int] | None:
        """Of the agent's next prompt in the session, as far as it is known: tokens cached, at least, and all, at most:
        what another agent found out by tools may not be in it, and then is not prefilled. None: not known."""
        anchor, latest, path = self._anchors.get(agent), self._latest.get(session), self._paths.get((session, agent))
        if anchor is None or latest is None or (path is not None and path.passed_turn == latest.turn):
            return None
        if self._grows.mean >= SHARED and latest.agent != agent:
            cached = anchor.cached_tokens if path is None else min(path.cached_tokens, path.said_tokens)
            tokens = anchor.tokens + latest.tail_tokens
        elif path is not None:
            cached, tokens = path.cached_tokens, path.tokens
        else:
            return None
        return (cached if anchor.cached_tokens >= anchor.tokens else min(cached, anchor.cached_tokens)), tokens

    def anchors_missing(self) -> list[tuple[str, int, int]]:
        """Agents whose anchor is not all cached: tokens that are, and all."""
        found = [(agent, self._anchors.get(agent)) for agent in list(self._anchors)]
        return [(agent, a.cached_tokens, a.tokens) for agent, a in found if a and a.cached_tokens < a.tokens]

    @property
    def regret(self) -> float:
        """Share of what is evicted that was asked for again, lately: what displacing a token costs, in tokens."""
        return min(1.0, self.lost_again_tokens / self.evicted_tokens) if self.evicted_tokens > 0 else 0.0

    # ---- requests ----------------------------------------------------------------------------------------------------

    def matched(self, event: PrefixMatched) -> None:
        """A request of an agent, or a warm-up, is about to be computed."""
        path = self._path(event.session, event.agent)
        if event.warm:
            whole = event.cached_tokens >= event.prompt_tokens - 1
            path.cached_tokens = event.prompt_tokens if whole else event.cached_tokens
            self._warm = tag_of(event.rid), event.session, event.agent, event.cached_tokens
            self._warm_tokens = event.prompt_tokens
            return
        self.lost_again_tokens += max(0, event.base_tokens - event.cached_tokens)
        self._judge(path, event.cached_tokens)
        anchor = self._path("", event.agent)
        self._judge(anchor, event.cached_tokens)
        anchor.tokens = anchor.cached_tokens = event.anchor_tokens
        path.prompt_tokens = path.tokens = path.cached_tokens = event.prompt_tokens
        self._asking.put(tag_of(event.rid), (event.session, event.agent))
        if self._moved(event):
            path.said_tokens = event.prompt_tokens

    def _moved(self, event: PrefixMatched) -> bool:
        """Whether another agent was asked before this one."""
        tail_tokens = max(0, event.prompt_tokens - event.anchor_tokens)
        latest = self._latest.get(event.session)
        if latest is None:
            self._latest.put(event.session, Latest(event.agent, tail_tokens, tail_tokens))
            return True
        if moved := latest.agent != event.agent:
            self._grows.see(float(tail_tokens >= latest.said_tokens))
            latest.said_tokens = tail_tokens
        latest.agent, latest.tail_tokens, latest.turn = event.agent, tail_tokens, latest.turn + 1
        return moved

    def inserted(self, event: PrefixInserted) -> None:
        """Something was computed."""
        if event.phase != "finish":
            return
        tag = tag_of(event.rid)
        if self._warm is not None and self._warm[0] == tag:
            self._warmed(event.total_tokens, *self._warm[1:])
            self._warm = None
        elif (key := self._asking.pop(tag)) is not None and (path := self._paths.get(key)) is not None:
            path.tokens = path.cached_tokens = event.total_tokens

    def _warmed(self, total_tokens: int, session: str, agent: str, from_tokens: int) -> None:
        upto = min(total_tokens, self._warm_tokens)
        path = self._path(session, agent)
        path.cached_tokens = max(path.cached_tokens, upto)
        if upto - from_tokens > 1:
            self.warmed_tokens += upto - from_tokens
            path.warm_from = path.warm_from if path.warm_to > path.warm_from else from_tokens
            path.warm_to = upto
        if session:
            path.prompt_tokens, path.said_tokens = max(path.prompt_tokens, upto), max(path.said_tokens, upto)
            anchor = self._path("", agent)
            anchor.cached_tokens = max(anchor.cached_tokens, min(upto, anchor.tokens))

    def taken(self, event: ActionTaken) -> None:
        """A warm-up is over. One that was refused, or that reached the end, is not asked for again in this turn."""
        over = event.tokens < event.amount if event.ok else event.result != PREEMPTED
        latest = self._latest.get(event.session)
        if over:
            path = self._path(event.session, event.agent)
            path.passed_turn = latest.turn if latest is not None else NO_TURN
            if not event.session:
                path.cached_tokens = path.tokens

    # ---- losses ------------------------------------------------------------------------------------------------------

    def evicted(self, event: NodeEvicted) -> None:
        """What is behind the beginning of a node that went is gone too, if the node is one that prompts still lead
        through."""
        self._fade(event.tokens)
        if event.part in PASSED_BY:
            return
        for agent in event.agents:
            path = self._anchors.get(agent)
            if event.role == "private":
                path = self._paths.get((event.session, agent))
            if path is not None and path.cached_tokens > event.start:
                latest = self._latest.get(event.session)
                if path.warm_to > event.start and latest is not None:
                    path.passed_turn = latest.turn
                path.cached_tokens = event.start
                self._cut(path, event.start)

    def _fade(self, tokens: int) -> None:
        keep = 0.9 ** (tokens / 1000)
        self.evicted_tokens = self.evicted_tokens * keep + tokens
        self.lost_again_tokens *= keep

    def flushed(self) -> None:
        for path in [*map(self._anchors.get, list(self._anchors)), *map(self._paths.get, list(self._paths))]:
            if path is not None:
                path.cached_tokens = 0
                self._cut(path, 0)

    def ended(self, session: str) -> None:
        self._latest.pop(session)
        for key in [key for key in self._paths if key[0] == session]:
            path = self._paths.pop(key)
            if path is not None:
                self._cut(path, 0)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _path(self, session: str, agent: str) -> Path:
        if not session:
            return self._anchors.get(agent) or self._anchors.put(agent, Path())
        return self._paths.get((session, agent)) or self._paths.put((session, agent), Path())

    def _judge(self, path: Path, cached_tokens: int) -> None:
        """A request came that what was prefilled was meant for, and found so much."""
        used = min(cached_tokens, path.warm_to) - path.warm_from
        if path.warm_to > path.warm_from:
            if used > 0:
                self.used_tokens += used
                self.useful.see(used / (path.warm_to - path.warm_from))
                path.warm_from += used
            self._cut(path, 0)
        path.warm_from = path.warm_to = 0

    def _cut(self, path: Path, upto: int) -> None:
        """Behind `upto`, what was prefilled was for nothing."""
        lost = path.warm_to - max(path.warm_from, upto)
        if lost > 0:
            self.wasted_tokens += lost
            path.warm_to -= lost
            if path.warm_to <= path.warm_from:
                self.useful.see(0.0)
