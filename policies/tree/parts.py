"""Which part of a request's context a node is: current, an output nobody repeated yet, or passed by.

Settled by what the agent asks next. A session's history is passed by once a newer prompt of the same agent in the
session does not repeat it; what sessions have in common, once its agent's last few dispatches went elsewhere, and the
more so the more they are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import zip_longest

from ..events import Part

PASSED_BY: dict[Part, int] = {"old": 8, "old_32": 32, "old_128": 128, "old_512": 512}
"""By part, in how many dispatches of its agent a common prefix was not used, at least."""
MAX_AGENTS = 64
"""Agents of one session whose last turn is known, those dispatched last."""
MAX_COMMON = 4096
"""Common nodes watched per agent, those used last; of others nothing new is said."""


@dataclass(slots=True)
class Line:
    """One agent's turns in one session: the last prompt's length, the nodes it and its output use, and those that the
    turn before used and this one has not used so far."""

    prompt_tokens: int = 0
    nodes: set[int] = field(default_factory=set[int])
    before: set[int] = field(default_factory=set[int])


@dataclass(slots=True)
class Common:
    """An agent's dispatches so far, and at which of them each common node was used last, oldest first: `used[n]` of
    those that are to be the n-th part of PASSED_BY next."""

    dispatches: int = 0
    used: tuple[OrderedDict[int, int], ...] = field(default_factory=lambda: tuple(OrderedDict() for _ in PASSED_BY))

    def passed_by(self) -> list[tuple[int, Part]]:
        """Nodes that its dispatches so far make another part, and which."""
        gone: list[tuple[int, Part]] = []
        for nodes, further, (part, dispatches) in zip_longest(self.used, self.used[1:], PASSED_BY.items()):
            while nodes and self.dispatches - (at := next(iter(nodes.values()))) >= dispatches:
                node, _ = nodes.popitem(last=False)
                gone.append((node, part))
                if further is not None:
                    further[node] = at
        return gone


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
        lines = self._lines.setdefault(session, {})
        line = lines[agent] = lines.pop(agent, None) or Line()
        if len(lines) > MAX_AGENTS:
            del lines[next(iter(lines))]
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
        lately, *longer_ago = common.used
        for nodes in longer_ago:
            nodes.pop(node, None)
        lately[node] = common.dispatches
        lately.move_to_end(node)
        if sum(map(len, common.used)) > MAX_COMMON:
            next(nodes for nodes in reversed(common.used) if nodes).popitem(last=False)

    def split(self, node: int, upper: int, session: str, agent: str) -> None:
        """A node that this session and agent used last was split: both parts stand where it stood; what is common, its
        upper part, counts as used now."""
        line = self._lines.get(session, {}).get(agent)
        for nodes in (line.nodes, line.before) if line is not None else ():
            if node in nodes:
                nodes.add(upper)
        common = self._common.get(agent)
        if common is not None and any(node in nodes for nodes in common.used):
            self.used_common(agent, upper)

    def passed_by(self, agent: str) -> list[tuple[int, Part]]:
        """The prompt of the agent was looked up: common nodes that are passed by, or for longer, from now on."""
        return self._of(agent).passed_by()

    def not_repeated(self, session: str, agent: str) -> list[tuple[int, Part]]:
        """The same of nodes of the session's own history: its agent's last turn used them, and this one does not."""
        line = self._lines.get(session, {}).get(agent)
        if line is None or not line.before:
            return []
        gone: list[tuple[int, Part]] = [(node, "old") for node in sorted(line.before)]
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
            for nodes in common.used:
                nodes.clear()

    def _of(self, agent: str) -> Common:
        common = self._common.get(agent)
        if common is None:
            common = self._common[agent] = Common()
        return common
