"""Which node goes next: one queue per subject by last use, the lowest-scored queue head is the victim.

A choice looks at one head per subject, so it costs O(subjects) however many nodes are resident. Queues are heaps that
are corrected lazily: a node's last use only ever grows, so an old entry is a lower bound that is checked when it comes
to the head.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

import msgspec

from .primitives import Score, Subject


class Node(Protocol):
    """What is needed of a tree node. `last_access_time`: its counter of accesses, not a clock."""

    id: int
    last_access_time: float


class Choice(msgspec.Struct, frozen=True):
    """A victim with its subject and score, and the node that plain LRU would have taken."""

    node: int
    subject: Subject
    score: Score
    oldest: int


class Queue:
    """The evictable nodes of one subject, oldest use first."""

    __slots__ = ("_heap", "_queued", "members")

    def __init__(self) -> None:
        self.members: dict[int, Node] = {}
        self._heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def add(self, node: Node) -> None:
        self.members[node.id] = node
        if node.id not in self._queued:
            self._queued.add(node.id)
            heapq.heappush(self._heap, (node.last_access_time, node.id))
        elif len(self._heap) > 64 + 4 * len(self.members):
            self._compact()

    def head(self) -> tuple[float, int] | None:
        """(last use, node id) of the member used longest ago."""
        while self._heap:
            time, node_id = self._heap[0]
            node = self.members.get(node_id)
            if node is None:
                heapq.heappop(self._heap)
                self._queued.discard(node_id)
            elif node.last_access_time != time:
                heapq.heapreplace(self._heap, (node.last_access_time, node_id))
            else:
                return time, node_id
        return None

    def _compact(self) -> None:
        self._heap = [(node.last_access_time, node_id) for node_id, node in self.members.items()]
        heapq.heapify(self._heap)
        self._queued = set(self.members)


class VictimIndex:
    """All evictable nodes by subject. `classify` tells a node's subject."""

    def __init__(self, classify: Callable[[int], Subject]) -> None:
        self._classify = classify
        self._queues: dict[Subject, Queue] = {}
        self._where: dict[int, Subject] = {}

    def __len__(self) -> int:
        return len(self._where)

    @property
    def subjects(self) -> list[Subject]:
        return list(self._queues)

    def clear(self) -> None:
        self._queues.clear()
        self._where.clear()

    def add(self, node: Node) -> None:
        subject = self._classify(node.id)
        self._where[node.id] = subject
        queue = self._queues.get(subject)
        if queue is None:
            queue = self._queues[subject] = Queue()
        queue.add(node)

    def discard(self, node_id: int) -> Node | None:
        """Take a node out; None if it was not in."""
        subject = self._where.pop(node_id, None)
        return None if subject is None else self._queues[subject].members.pop(node_id, None)

    def move(self, node_id: int) -> None:
        """A node's subject may have changed: put it into the right queue, if it is evictable at all."""
        if (subject := self._where.get(node_id)) is not None and subject != self._classify(node_id):
            node = self.discard(node_id)
            if node is not None:
                self.add(node)

    def move_all(self) -> None:
        """Subjects are made in another way from now on."""
        for node_id in list(self._where):
            self.move(node_id)

    def close(self, session: str) -> None:
        """A session is no longer live: its nodes join their agents' queue of closed sessions."""
        for subject in [subject for subject in self._queues if subject.session == session]:
            for node_id in list(self._queues[subject].members):
                self.move(node_id)

    def choose(self, score_of: Callable[[Subject], Score]) -> Choice | None:
        """The head with the lowest (score, last use), None if nothing is evictable. Drops empty queues on the way."""
        best: tuple[float, float, int] | None = None
        oldest: tuple[float, int] | None = None
        chosen: tuple[Subject, Score] | None = None
        empty: list[Subject] = []
        for subject, queue in self._queues.items():
            head = queue.head()
            if head is None:
                empty.append(subject)
                continue
            if oldest is None or head < oldest:
                oldest = head
            score = score_of(subject)
            rank = (score.key, *head)
            if best is None or rank < best:
                best, chosen = rank, (subject, score)
        for subject in empty:
            del self._queues[subject]
        if best is None or chosen is None or oldest is None:
            return None
        return Choice(best[2], *chosen, oldest[1])
