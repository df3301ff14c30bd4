"""What happens to nodes of the radix tree, SGLang's or the modelled one: keeps ownership and the victim index in step.

Nothing here may disturb the scheduler. If any of it raises, the observer is `broken`: it says so once, SGLang's own
order is used from then on, and requests are served as before. A flush of the cache starts it afresh.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from ..events import NO_NODE, CacheFlushed, Cause, EngineEvent, HostNodeLeft, NodeSplit, PolicyFailed
from ..host import PolicyHost
from ..primitives import Score, Subject, Subjects
from .harmless import harmless
from .ownership import NOBODY, Owned, Ownership, Who
from .paths import path
from .queues import Ask
from .sight import NAME, blinds, said
from .tellings import added, evicted, kept, whose
from .trimming import kept_tokens
from .victims import Choice, VictimIndex

log = logging.getLogger(__name__)


class Stream(Protocol):
    """Where facts go, and the clock they are stamped by (UTC nanoseconds). `host`: has observed all of them;
    `event_ns`: its event clock, for which it need not have."""

    @property
    def host(self) -> PolicyHost: ...
    @property
    def event_ns(self) -> int: ...
    def now_ns(self) -> int: ...
    def emit(self, event: EngineEvent) -> None: ...


class Need(msgspec.Struct, frozen=True):
    """A request of the batch being allocated for, and how many new tokens it needs."""

    who: Who
    tokens: int


class Observer:
    """`acts`: whether this process may decide (a single scheduler rank) or only watch. `step`: the batch that room was
    made for last, see policies.events. What decides is timed by the host's event clock, never by the stream's."""

    def __init__(self, stream: Stream, *, acts: bool = True) -> None:
        self.stream = stream
        self.acts = acts
        self.broken = self.started = False
        self._broke_by: PolicyFailed | None = None
        self.step = 1
        self.ownership = Ownership()
        self.index = VictimIndex(self.ownership.subject)
        self._ask = Ask(self._score, self._keys, self._nonzero, self._worthless)
        self.inserting: Who = NOBODY
        self.cause: Cause = "allocation"
        self.forced: deque[int] | None = None
        self.ask_needs: Callable[[], list[Need]] = list
        self._needs: list[Need] | None = None
        self._shortfall = self._freed = 0
        self._choice: Choice | None = None
        self._trims = False
        self._now_s = 0.0
        self._early: dict[int, Any] = {}

    def report_failure(self, call: str, error: Exception) -> None:
        """Say that something of ours raised. Never raises."""
        log.error("radixdeck: %s failed, SGLang's own order is used", call, exc_info=error)
        try:
            fact = PolicyFailed(t_ns=self.stream.now_ns(), policy=NAME, call=call, error=said(error))
            self._broke_by = fact if blinds(fact) else self._broke_by
            self.stream.emit(fact)
        except Exception:
            log.exception("radixdeck: the failure could not be reported")

    # ---- the tree changed; nodes are SGLang's UnifiedTreeNode or the model's -----------------------------------------

    def flushed(self) -> None:
        self.broken = False
        self.index.clear()
        self._early.clear()
        self.ownership.clear()
        if self.started:
            self.stream.emit(CacheFlushed(t_ns=self.stream.now_ns()))

    @harmless
    def added(self, node: Any, *, on_host: bool = False) -> None:
        """`on_host`: it was read from a store, into host memory only."""
        owned = self.ownership.add(node.id, self._start(node), len(node.key), self.inserting, self.stream.event_ns)
        owned.parent, owned.on_device = node.parent.id, not on_host
        if self._early.pop(node.id, None) is not None:
            self.index.add(node)
        if on_host:
            self._say_kept(owned, had_tokens=0)
        else:
            self._say_added(owned, self.inserting.rid, self.stream.now_ns())

    @harmless
    def split(self, child: Any, upper: Any) -> None:
        if child.id not in self.ownership.nodes:
            return
        above = self.ownership.split(child.id, upper.id, len(upper.key))
        below = self.ownership.nodes[child.id]
        changed = [owned for owned in (above, below) if self.ownership.settle(owned)]
        if above.on_device:
            now = self.stream.now_ns()
            self.stream.emit(NodeSplit(t_ns=now, node=child.id, upper=upper.id, upper_tokens=above.tokens))
            for owned in changed:
                self._say_owned(owned)
        else:
            self._say_kept(above, had_tokens=0)
            self._say_kept(below, had_tokens=above.tokens + below.tokens)

    @harmless
    def left(self, node: Any, *, to_host: bool) -> None:
        owned = self.ownership.nodes.get(node.id) if to_host else self.ownership.drop(node.id)
        if owned is None:
            return
        if owned.on_device:
            owned.on_device = False
            self._say_evicted(owned, to_host)
        elif not to_host:
            self.stream.emit(HostNodeLeft(t_ns=self.stream.now_ns(), node=owned.node, tokens=owned.tokens))

    @harmless
    def returned(self, node: Any) -> None:
        """A node that lived on the host only is on the device again."""
        owned = self.ownership.nodes.get(node.id)
        if owned is None or owned.on_device:
            return
        owned.on_device = True
        self._say_added(owned, self.inserting.rid, self.stream.now_ns(), from_host=True)

    @harmless
    def used(self, node: Any, who: Who) -> None:
        """A request used the path from the root to `node`."""
        now = self.stream.event_ns
        steps = [self.ownership.nodes.get(step.id) for step in path(node)]
        changed = [owned for owned in steps if owned is not None and self.ownership.use(owned, who, now)]
        for owned in changed + self.ownership.passed_by(who):
            self._say_owned(owned)

    def straddling(self, node: Any, agent: str, page_size: int) -> tuple[Any, int] | None:
        """The node on the path to `node` in whose middle the agent's anchor ends, and at how many of its tokens."""
        anchor = self.ownership.anchors.get(agent, 0) // page_size * page_size
        for step in path(node) if anchor else ():
            owned = self.ownership.nodes.get(step.id)
            if owned is not None and owned.start < anchor < owned.end:
                return step, anchor - owned.start
        return None

    def _start(self, node: Any) -> int:
        above = self.ownership.nodes.get(node.parent.id)
        return above.end if above is not None else sum(len(step.key) for step in path(node.parent))

    @harmless
    def evictable(self, node: Any) -> None:
        """A leaf that nobody holds. SGLang says so of a new node before it says that there is one."""
        if node.id in self.ownership.nodes:
            self.index.add(node)
        else:
            self._early[node.id] = node

    @harmless
    def not_evictable(self, node_id: int) -> None:
        if self.index.discard(node_id) is None and self._early:
            self._early.pop(node_id, None)

    # ---- choosing --------------------------------------------------------------------------------------------------

    @harmless
    def begin_eviction(self) -> None:
        """Scores, and whether victims are cut, hold for one eviction call: no time passes within it."""
        host = self.stream.host
        if self.ownership.by_node != host.scores_nodes:
            self.ownership.by_node = host.scores_nodes
            self.index.move_all()
        for node in self._early.values():
            self.index.add(node)
        self._early.clear()
        self.index.begin()
        self._trims = host.says("trims_victims")
        self._now_s = self.stream.event_ns / 1e9

    @harmless
    def choose(self) -> Choice | None:
        self._choice = self.index.choose(self._ask)
        return self._choice

    @harmless
    def kept(self, tokens: int, needed_tokens: int, page_size: int) -> int:
        """How many leading tokens of a victim stay in the tree."""
        return kept_tokens(tokens, needed_tokens, page_size) if self._trims else 0

    def _keys(self, subjects: list[Subject]) -> list[float]:
        return self.stream.host.scores(subjects, self._now_s)

    def _nonzero(self, subjects: Subjects) -> Mapping[Subject, float] | None:
        return self.stream.host.nonzero(subjects, self._now_s)

    def _worthless(self, subject: Subject) -> bool:
        return self.stream.host.worthless(subject)

    def _score(self, subject: Subject) -> Score:
        return self.stream.host.score(subject, self._now_s)

    # ---- for whom --------------------------------------------------------------------------------------------------
    # `ask_needs` tells the requests of the batch being allocated for, and is asked only when something is evicted.

    def expect(self, shortfall_tokens: int) -> None:
        """An allocation found that many tokens too few."""
        self._shortfall, self._freed, self._needs = shortfall_tokens, 0, None

    def _beneficiary(self, tokens: int) -> Who:
        """The request whose need the next freed tokens meet. The free pool serves the batch from its front; what it
        cannot cover is taken from victims, in the same order."""
        if self._needs is None:
            self._needs = self.ask_needs()
        place = sum(need.tokens for need in self._needs) - self._shortfall + self._freed
        self._freed += tokens
        for need in self._needs:
            place -= need.tokens
            if place < 0:
                return need.who
        return self._needs[-1].who if self._needs else NOBODY

    # ---- saying it -------------------------------------------------------------------------------------------------

    def _say_added(self, owned: Owned, rid: str, now: int, *, from_host: bool = False) -> None:
        self.stream.emit(added(owned, rid, now, from_host=from_host))
        if len(owned.agents) > 1:
            self._say_owned(owned)

    def _say_kept(self, owned: Owned, *, had_tokens: int) -> None:
        self.stream.emit(kept(owned, had_tokens, self.stream.now_ns()))

    def _say_owned(self, owned: Owned) -> None:
        """Of a node on the host another fact tells: policies know those on the device."""
        self.index.move(owned.node)
        if owned.on_device:
            self.stream.emit(whose(owned, self.stream.now_ns()))
        else:
            self._say_kept(owned, had_tokens=owned.tokens)

    def _say_evicted(self, owned: Owned, to_host: bool) -> None:
        choice = self._choice if self._choice is not None and self._choice.node == owned.node else None
        instead = choice.oldest if choice is not None and choice.oldest != owned.node else NO_NODE
        who = self._beneficiary(owned.tokens) if self.cause == "allocation" else NOBODY
        score = choice.score if choice is not None else Score(0.0)
        other = self.ownership.nodes.get(instead)
        instead_agent = other.agents[0] if other is not None and other.agents else ""
        fact = evicted(
            owned, score, who, self.stream.now_ns(), cause=self.cause, instead=instead, instead_agent=instead_agent,
            to_host=to_host,
        )  # fmt: skip
        self.stream.emit(fact)

    # ---- orders ----------------------------------------------------------------------------------------------------

    @harmless
    def close_session(self, session: str) -> None:
        self.ownership.end_session(session)
        self.index.close(session)

    @harmless
    def reclassify(self, node: int) -> None:
        self.index.move(node)

    def snapshot(self, root: Any) -> int:
        """Report the whole tree, parents first, after a CacheFlushed, what lies on the host only at the end. Returns
        the number of tokens on the device."""
        now = self.stream.now_ns()
        self.stream.emit(CacheFlushed(t_ns=now, told_anew=True))
        if self.broken and self._broke_by is not None:  # readers take it that after a flush all is told
            self.stream.emit(msgspec.structs.replace(self._broke_by, t_ns=now))
        tokens = 0
        on_host: list[Owned] = []
        waiting = list(root.children.values())
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            owned = self.ownership.nodes.get(node.id)
            if owned is None:
                continue
            if not owned.on_device:
                on_host.append(owned)
                continue
            tokens += owned.tokens
            self._say_added(owned, "", now)
        for owned in on_host:
            self._say_kept(owned, had_tokens=0)
        return tokens
