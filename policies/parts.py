"""Which part of a request's context a node is: current, an output nobody repeated yet, or passed by.

Settled by what the agent asks next. A session's history is passed by once a newer prompt of the same agent in the
session does not repeat it; what sessions have in common, once its agent's last few dispatches went elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

PASSED_BY = 8
"""Dispatches of an agent that must go elsewhere before a common prefix of it counts as passed by."""
MAX_COMMON = 256
"""Common nodes watched per agent, as many as its last few dispatches can be expected to use."""


@dataclass(slots=True)
class Line:
    """One agent's turns in one session: the last prompt's length, the nodes it and its output use, and those that the
    turn before used and this one has not used so far."""

    prompt_tokens: int = 0
    nodes: set[int] = field(default_factory=set[int])
    before: set[int] = field(default_factory=set[int])


@dataclass(slots=True)
class Common:
    """An agent's dispatches so far, and at which of them each common node was used last, oldest first."""

    dispatches: int = 0
    used: OrderedDict[int, int] = field(default_factory=OrderedDict[int, int])


class Parts:
    """Knows nodes by their ids; ids that are gone do no harm and leave by themselves."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, Line]] = {}
        self._common: OrderedDict[str, Common] = OrderedDict()

    def begin(self, session: str, agent: str, prompt_tokens: int) -> None:
        """The agent is dispatched in the session with a prompt of that many tokens, in whole pages."""
        self._of(agent).dispatches += 1
        if not session:
            return
        line = self._lines.setdefault(session, {}).setdefault(agent, Line())
        line.prompt_tokens = prompt_tokens
        line.before |= line.nodes
        line.nodes = set()

    def is_output(self, session: str, agent: str, start: int) -> bool:
        """The agent's request in the session uses a node of its own: whether that lies behind the prompt."""
        line = self._lines.get(session, {}).get(agent)
        return line is not None and 0 < line.prompt_tokens <= start

    def used(self, session: str, agent: str, node: int) -> None:
        """A node of the session's own history is used by its agent."""
        line = self._lines.get(session, {}).get(agent)
        if line is not None:
            line.nodes.add(node)
            line.before.discard(node)

    def used_common(self, agent: str, node: int) -> None:
        common = self._of(agent)
        common.used[node] = common.dispatches
        common.used.move_to_end(node)
        if len(common.used) > MAX_COMMON:
            common.used.popitem(last=False)

    def split(self, node: int, upper: int, session: str, agent: str) -> None:
        """A node that this session and agent used last was split: both parts stand where it stood."""
        line = self._lines.get(session, {}).get(agent)
        for nodes in (line.nodes, line.before) if line is not None else ():
            if node in nodes:
                nodes.add(upper)
        common = self._common.get(agent)
        if common is not None and node in common.used:
            common.used[upper] = common.dispatches
            common.used.move_to_end(upper)

    def passed_by(self, session: str, agent: str) -> list[int]:
        """The prompt of the agent was looked up: nodes that count as passed by from now on."""
        common = self._of(agent)
        gone: list[int] = []
        while common.used and common.dispatches - next(iter(common.used.values())) >= PASSED_BY:
            gone.append(common.used.popitem(last=False)[0])
        line = self._lines.get(session, {}).get(agent)
        if line is not None and line.before:
            gone += sorted(line.before)
            line.before = set()
        return gone

    def end_session(self, session: str) -> None:
        self._lines.pop(session, None)

    def forget(self, agent: str) -> None:
        self._common.pop(agent, None)

    def clear(self) -> None:
        """No node is left."""
        for lines in self._lines.values():
            for line in lines.values():
                line.nodes, line.before = set(), set()
        for common in self._common.values():
            common.used.clear()

    def _of(self, agent: str) -> Common:
        common = self._common.get(agent)
        if common is None:
            common = self._common[agent] = Common()
        return common
