"""Queues of evictable nodes by last use, and the heads of many queues in the order in which they would go.

Everything is corrected lazily: a node's last use only ever grows, so an old entry is a lower bound that is checked when
it comes to the top.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Protocol

from .primitives import Score, Subject

SLACK = 64
"""Heaps are rebuilt when stale entries outnumber what is alive by far; never while they are this small."""


class Node(Protocol):
    """What is needed of a tree node. `last_access_time`: its counter of accesses, not a clock."""

    id: int
    last_access_time: float


ScoreOf = Callable[[Subject], Score]


class Queue:
    """The evictable nodes of one subject, oldest use first. `heap[0]`, while there are members, is at most the head."""

    __slots__ = ("_queued", "heap", "members")

    def __init__(self) -> None:
        self.members: dict[int, Node] = {}
        self.heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def add(self, node: Node) -> None:
        self.members[node.id] = node
        if node.id not in self._queued:
            self._queued.add(node.id)
            heapq.heappush(self.heap, (node.last_access_time, node.id))
        elif len(self.heap) > SLACK + 4 * len(self.members):
            self._compact()

    def head(self) -> tuple[float, int] | None:
        """(last use, node id) of the member used longest ago."""
        while self.heap:
            time, node_id = self.heap[0]
            node = self.members.get(node_id)
            if node is None:
                heapq.heappop(self.heap)
                self._queued.discard(node_id)
            elif node.last_access_time != time:
                heapq.heapreplace(self.heap, (node.last_access_time, node_id))
            else:
                return self.heap[0]
        return None

    def _compact(self) -> None:
        self.heap = [(node.last_access_time, node_id) for node_id, node in self.members.items()]
        heapq.heapify(self.heap)
        self._queued = set(self.members)


class Ranked(Queue):
    """A queue that competes with others. `key`: None while it is not scored; `score`: its parts too, once they are
    asked for. `number`: tells queues apart."""

    __slots__ = ("key", "number", "score", "subject")

    def __init__(self, subject: Subject, number: int) -> None:
        super().__init__()
        self.subject = subject
        self.number = number
        self.key: float | None = None
        self.score: Score | None = None

    def scored(self, score_of: ScoreOf) -> Score:
        """The score that its key is of."""
        assert self.key is not None
        if self.score is None:
            score = score_of(self.subject)
            self.score = score if score.key == self.key else Score(self.key, score.parts)
        return self.score


Entry = tuple[float, float, int, int, Ranked]
"""(key, last use, node id, queue's number, queue). Equal ranks of two queues are told apart by their numbers."""


class Heads:
    """The heads of queues, the lowest (key, last use, node id) first. A queue's entry never lies above its head."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._entries: dict[int, Entry] = {}

    def rebuild(self, key: float, queues: Iterable[Ranked]) -> None:
        """Start over with these queues of one key, which have members."""
        heap = [(key, *queue.heap[0], queue.number, queue) for queue in queues]
        self._entries = {entry[3]: entry for entry in heap}
        heapq.heapify(heap)
        self._heap = heap

    def forget(self, queue: Ranked) -> None:
        """A queue is gone, or has another key."""
        self._entries.pop(queue.number, None)

    def offer(self, key: float, time: float, node_id: int, queue: Ranked) -> None:
        """A node joined a queue with that key."""
        known = self._entries.get(queue.number)
        if known is None or (time, node_id) < known[1:3]:
            entry = self._entries[queue.number] = (key, time, node_id, queue.number, queue)
            heapq.heappush(self._heap, entry)
            if len(self._heap) > SLACK + 4 * len(self._entries):
                self._heap = list(self._entries.values())
                heapq.heapify(self._heap)

    def first(self) -> Entry | None:
        """The lowest head, None if all queues are empty. An empty queue is left out until it has members again."""
        while self._heap:
            entry = self._heap[0]
            key, time, node_id, number, queue = entry
            if self._entries.get(number) is not entry:
                heapq.heappop(self._heap)
            elif (head := queue.head()) is None:
                heapq.heappop(self._heap)
                del self._entries[number]
            elif head == (time, node_id):
                return entry
            else:
                self._entries[number] = entry = (key, *head, number, queue)
                heapq.heapreplace(self._heap, entry)
        return None
