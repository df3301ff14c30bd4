"""What became of nodes, as far as the log and the folded run tell: what was found again, and what was missed. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState

from .event_log import LogLine


def losses_since_ns(run: RunState) -> int:
    """All losses through evictions after this moment are known, 0 if those of the whole run are. A run keeps its last
    hurts only; what is forgotten was missed before the oldest that is kept, so it had gone before that."""
    if run.totals.evictions_that_hurt <= len(run.hurts):
        return 0
    return run.hurts[0].t_ns if run.hurts else run.t_ns


class Past:
    """`evictions`: those that are asked about, each of a node other than the one LRU would have taken. `since_ns`: see
    losses_since_ns."""

    def __init__(self, run: RunState, lines: Iterable[LogLine], evictions: Sequence[e.NodeEvicted]) -> None:
        self._run = run
        self._uppers: dict[int, list[int]] = {}
        self._gone_tokens: dict[int, int] = {}
        self._again: dict[tuple[int, int], int] = {}
        self._used: dict[int, list[int]] = {}
        """Moments at which a node was found, ascending."""
        self._up_again: dict[int, list[int]] = {}
        """Moments at which LRU would have taken a node."""
        self._owed: dict[tuple[int, int], int] = {}
        """Which of several evictions of one moment the same kept node is owed to."""
        for event in evictions:
            self._up_again.setdefault(event.instead, []).append(event.t_ns)
            self._owed[event.instead, event.t_ns] = event.node
        self._read(lines)
        self.since_ns = losses_since_ns(run)
        for hurt in run.hurts:
            key = (hurt.node, hurt.evicted_ns)
            self._again[key] = self._again.get(key, 0) + hurt.tokens

    def knows(self, event: e.NodeEvicted) -> bool:
        """Whether a loss through this eviction would still be known."""
        return event.t_ns > self.since_ns

    def missed(self, event: e.NodeEvicted) -> int:
        """Tokens of an eviction that were computed again since."""
        return self._again.get((event.node, event.t_ns), 0)

    def found(self, event: e.NodeEvicted) -> int:
        """Tokens of the node that LRU would have taken, as far as a request found them before that node was up again:
        what it finds after that is owed to the later decision."""
        if self._owed[event.instead, event.t_ns] != event.node:
            return 0
        up = self._up_again[event.instead]
        later = bisect_right(up, event.t_ns)
        until_ns = up[later] if later < len(up) else None
        parts = (event.instead, *self._uppers.get(event.instead, ()))
        return sum(self._tokens(part) for part in parts if self._is_used(part, event.t_ns, until_ns))

    def _is_used(self, node: int, after_ns: int, until_ns: int | None) -> bool:
        used = self._used.get(node, [])
        first = bisect_right(used, after_ns)
        return first < len(used) and (until_ns is None or used[first] <= until_ns)

    def _tokens(self, node: int) -> int:
        view = self._run.nodes.get(node)
        return view.tokens if view is not None else self._gone_tokens.get(node, 0)

    def _read(self, lines: Iterable[LogLine]) -> None:
        parents = {node: view.parent for node, view in self._run.nodes.items()}
        for line in lines:
            event = line.event
            if isinstance(event, e.NodeAdded):
                parents[event.node] = event.parent
            elif isinstance(event, e.NodeSplit):
                self._uppers.setdefault(event.node, []).append(event.upper)
                parents[event.upper], parents[event.node] = parents.get(event.node, e.NO_NODE), event.upper
            elif isinstance(event, e.NodeEvicted):
                self._gone_tokens[event.node] = event.tokens
            elif isinstance(event, e.PrefixMatched) and not event.warm:
                for node in _path(event.node, parents):
                    self._used.setdefault(node, []).append(event.t_ns)


def _path(node: int, parents: dict[int, int]) -> Iterator[int]:
    """A node and what is above it. An odd stream may have made a ring; nothing is passed twice."""
    met: set[int] = set()
    while node in parents and node not in met:
        met.add(node)
        yield node
        node = parents[node]
