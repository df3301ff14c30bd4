"""The radix tree as a baseline sees it: each node's hits and last use, and which leaf of a subject would go next.

Published rules rank single blocks or nodes; here one score stands for all nodes of a subject, whose leaf used longest
ago is the one that competes. So a baseline scores that very leaf. Two things differ from ranking every node, which only
a policy that `scores_nodes` does: within a subject the order is recency, and a leaf that a running request holds may be
taken for the next one. A node added before the policy was switched on counts as never used until it comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..events import (
    NO_NODE,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
    Part,
    PrefixInserted,
    PrefixMatched,
    Role,
    SessionEnded,
)
from ..primitives import Subject
from ..tree.ownership import MAX_LIVE_SESSIONS
from ..tree.queues import Queue
from ..tree.subjects import subject_of

OUTSTANDING = 512


@dataclass(slots=True)
class Node:
    """`hits`: insertions that passed it, as SGLang counts them. `added_by`, `used_by`: agents. At the last use,
    `last_access_time` was its number in order, `dispatch` and `touched_tokens` what the counters of Nodes showed."""

    id: int
    parent: int
    role: Role
    agents: tuple[str, ...]
    session: str
    added_by: str
    used_by: str
    last_access_time: float = 0.0
    hits: int = 0
    dispatch: int = 0
    touched_tokens: int = 0
    children: int = 0
    part: Part = ""
    queued: Subject | None = None


@dataclass(frozen=True, slots=True)
class Running:
    agent: str
    prompt_tokens: int


class Nodes:
    """All resident nodes. `dispatches` and `touched_tokens` count what requests did so far."""

    def __init__(self) -> None:
        self.dispatches = 0
        self.touched_tokens = 0
        self._nodes: dict[int, Node] = {}
        self._flushed: dict[int, Node] = {}
        self._queues: dict[Subject, Queue] = {}
        self._live: OrderedDict[str, None] = OrderedDict()
        self._running: OrderedDict[str, Running] = OrderedDict()
        self._page_tokens = 1
        self._uses = 0

    def next_to_go(self, subject: Subject) -> Node | None:
        """The leaf of a subject used longest ago, None if none is known."""
        if subject.node != NO_NODE:
            return self._nodes.get(subject.node)
        queue = self._queues.get(subject)
        head = queue.head() if queue is not None else None
        return self._nodes[head[1]] if head is not None else None

    def observe(self, event: EngineEvent) -> None:
        match event:
            case PrefixMatched():
                self._matched(event)
            case PrefixInserted():
                self._inserted(event)
            case NodeAdded():
                self._added(event)
            case NodeSplit() if event.node in self._nodes:
                self._split(event)
            case NodeOwned() if event.node in self._nodes:
                node = self._nodes[event.node]
                node.agents, node.role, node.session = event.agents, event.role, event.session
                node.part = event.part
                self._queue(node)
            case NodeEvicted():
                self._drop(event.node)
            case SessionEnded():
                self._close(event.session)
            case CacheFlushed() | EngineStarted():
                self._clear(event)
            case _:
                pass

    # ---- requests ----------------------------------------------------------------------------------------------------

    def _matched(self, event: PrefixMatched) -> None:
        self.dispatches += 1
        self.touched_tokens += event.cached_tokens
        self._running[event.rid] = Running(event.agent, event.prompt_tokens)
        if len(self._running) > OUTSTANDING:
            self._running.popitem(last=False)
        if event.session and not event.warm:
            self._live[event.session] = None
            self._live.move_to_end(event.session)
            if len(self._live) > MAX_LIVE_SESSIONS:
                self._close(next(iter(self._live)))
        self._use(event.node, event.agent, hits=0)

    def _inserted(self, event: PrefixInserted) -> None:
        """A chunk of a prompt is no hit of its own: SGLang counts the whole prompt once."""
        running = self._running.get(event.rid, Running("", 0))
        if event.phase == "finish":
            self._running.pop(event.rid, None)
        self.touched_tokens += event.new_tokens
        chunk = event.phase == "prompt" and running.prompt_tokens - event.total_tokens >= self._page_tokens
        self._use(event.node, running.agent, hits=0 if chunk else 1)

    def _use(self, node_id: int, agent: str, hits: int) -> None:
        self._uses += 1
        for node in self._path(node_id):
            node.last_access_time, node.used_by = self._uses, agent or node.used_by
            node.dispatch, node.touched_tokens = self.dispatches, self.touched_tokens
            node.hits += hits
            self._queue(node)

    def _path(self, node_id: int) -> Iterator[Node]:
        """A node and those above it; a path that runs in circles, which no tree has, ends where it meets itself."""
        passed: set[int] = set()
        while (node := self._nodes.get(node_id)) is not None and node_id not in passed:
            passed.add(node_id)
            yield node
            node_id = node.parent

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def _added(self, event: NodeAdded) -> None:
        """A new node, or one that a snapshot tells again after a flush, with what is known of it."""
        self._drop(event.node)
        agents = (event.agent,) if event.agent else ()
        node = self._flushed.pop(event.node, None) or Node(
            event.node, event.parent, event.role, agents, event.session, event.agent, event.agent, self._uses,
            dispatch=self.dispatches, touched_tokens=self.touched_tokens,
        )  # fmt: skip
        node = replace(
            node, parent=event.parent, role=event.role, agents=agents, session=event.session, part=event.part,
            children=0, queued=None,
        )  # fmt: skip
        self._nodes[event.node] = node
        if (parent := self._nodes.get(event.parent)) is not None:
            parent.children += 1
            self._unqueue(parent)
        self._queue(node)

    def _split(self, event: NodeSplit) -> None:
        lower = self._nodes[event.node]
        if event.upper in self._nodes:
            return
        self._nodes[event.upper] = replace(lower, id=event.upper, children=1, queued=None)
        lower.parent = event.upper

    def _drop(self, node_id: int) -> None:
        node = self._nodes.pop(node_id, None)
        if node is None:
            return
        self._unqueue(node)
        if (parent := self._nodes.get(node.parent)) is not None:
            parent.children = max(0, parent.children - 1)
            self._queue(parent)

    def _queue(self, node: Node) -> None:
        """Put a leaf into the queue of its subject."""
        subject = self._subject(node)
        if not node.children and node.queued != subject:
            self._unqueue(node)
            node.queued = subject
            self._queues.setdefault(subject, Queue()).add(node)

    def _unqueue(self, node: Node) -> None:
        if node.queued is not None:
            queue = self._queues[node.queued]
            del queue.members[node.id]
            if not queue.members:
                del self._queues[node.queued]
            node.queued = None

    def _subject(self, node: Node) -> Subject:
        return subject_of(node.role, node.agents, node.session if node.session in self._live else "", part=node.part)

    def _close(self, session: str) -> None:
        self._live.pop(session, None)
        for subject in [subject for subject in self._queues if session and subject.session == session]:
            for node_id in list(self._queues[subject].members):
                self._queue(self._nodes[node_id])

    def _clear(self, event: EngineEvent) -> None:
        self._flushed, self._nodes = self._nodes, {}
        self._queues.clear()
        if isinstance(event, EngineStarted):
            self._flushed.clear()
            self._page_tokens = max(1, event.page_size)
            self._running.clear()
