"""Which node goes next: one queue per subject by last use, the lowest-scored queue head is the victim.

A subject is scored once per eviction call. After that a victim costs O(log subjects), however many nodes are resident:
the heads of the queues wait in two heaps, by score and by age. Everything is corrected lazily: a node's last use only
ever grows, so an old entry is a lower bound that is checked when it comes to the top.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from .primitives import Score, Subject

SLACK = 64
"""Heaps are rebuilt when stale entries outnumber what is alive by far; never while they are this small."""


class Node(Protocol):
    """What is needed of a tree node. `last_access_time`: its counter of accesses, not a clock."""

    id: int
    last_access_time: float


ScoreOf = Callable[[Subject], Score]
KeysOf = Callable[[list[Subject]], list[float]]
"""What tells the score of one subject, and the keys alone of many."""


class Choice(msgspec.Struct, frozen=True):
    """A victim with its subject and score, and the node that plain LRU would have taken."""

    node: int
    subject: Subject
    score: Score
    oldest: int


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

    def rebuild(self, queues: Sequence[Ranked], keys: Sequence[float]) -> None:
        """Start over with these queues, which have members, and their keys."""
        heap = [(key, *queue.heap[0], queue.number, queue) for key, queue in zip(keys, queues, strict=True)]
        self._entries = {entry[3]: entry for entry in heap}
        heapq.heapify(heap)
        self._heap = heap

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


class VictimIndex:
    """All evictable nodes by subject. `classify` tells a node's subject."""

    def __init__(self, classify: Callable[[int], Subject]) -> None:
        self._classify = classify
        self._queues: dict[Subject, Ranked] = {}
        self._of_session: dict[str, dict[int, Ranked]] = {}
        self._where: dict[int, Ranked] = {}
        self._by_score = Heads()
        self._by_age = Heads()
        self._numbers = 0
        self._scored = False
        self._unscored: list[Ranked] = []

    def __len__(self) -> int:
        return len(self._where)

    @property
    def subjects(self) -> list[Subject]:
        return list(self._queues)

    def clear(self) -> None:
        self._queues.clear()
        self._of_session.clear()
        self._where.clear()
        self._by_age = Heads()
        self.begin()

    def add(self, node: Node) -> None:
        subject = self._classify(node.id)
        queue = self._where[node.id] = self._queues.get(subject) or self._new_queue(subject)
        queue.add(node)
        self._by_age.offer(0.0, node.last_access_time, node.id, queue)
        if not self._scored:
            return
        if queue.key is None:
            self._unscored.append(queue)
        else:
            self._by_score.offer(queue.key, node.last_access_time, node.id, queue)

    def _new_queue(self, subject: Subject) -> Ranked:
        self._numbers += 1
        queue = self._queues[subject] = Ranked(subject, self._numbers)
        if subject.session:
            self._of_session.setdefault(subject.session, {})[queue.number] = queue
        return queue

    def discard(self, node_id: int) -> Node | None:
        """Take a node out; None if it was not in."""
        queue = self._where.pop(node_id, None)
        return None if queue is None else queue.members.pop(node_id, None)

    def move(self, node_id: int) -> None:
        """A node's subject may have changed: put it into the right queue, if it is evictable at all."""
        queue = self._where.get(node_id)
        if queue is not None and queue.subject != self._classify(node_id):
            node = self.discard(node_id)
            if node is not None:
                self.add(node)

    def move_all(self) -> None:
        """Subjects are made in another way from now on."""
        for node_id in list(self._where):
            self.move(node_id)

    def close(self, session: str) -> None:
        """A session is no longer live: its nodes join their agents' queue of closed sessions."""
        for queue in list(self._of_session.get(session, {}).values()):
            for node_id in list(queue.members):
                self.move(node_id)

    def begin(self) -> None:
        """Scores may have changed: each subject is scored anew when it is next in question."""
        self._scored = False
        self._unscored.clear()

    def choose(self, score_of: ScoreOf, keys_of: KeysOf | None = None) -> Choice | None:
        """The head with the lowest (score, last use), None if nothing is evictable. Asks for the key of each subject
        that has nodes once from one `begin` to the next; with `keys_of` for many at a time, and then for the whole
        score of those only that victims are taken from."""
        if not self._scored:
            self._score_all(score_of, keys_of)
        elif self._unscored:
            self._score_new(score_of, keys_of)
        lowest, oldest = self._by_score.first(), self._by_age.first()
        if lowest is None or oldest is None:
            return None
        queue = lowest[4]
        return Choice(lowest[2], queue.subject, queue.scored(score_of), oldest[2])

    def upcoming(self, score_of: ScoreOf, number: int) -> list[tuple[int, Subject, Score]]:
        """The `number` evictable nodes that rank lowest now. Changes nothing; costs as much as there are nodes."""
        ranked = (
            (score.key, node.last_access_time, node_id, queue.subject, score)
            for queue in self._queues.values()
            if queue.members
            for score in (score_of(queue.subject),)
            for node_id, node in queue.members.items()
        )
        lowest = heapq.nsmallest(number, ranked, key=lambda one: one[:3])
        return [(node_id, subject, score) for _, _, node_id, subject, score in lowest]

    def _score_all(self, score_of: ScoreOf, keys_of: KeysOf | None) -> None:
        """Drops queues that are empty."""
        alive = [queue for queue in self._queues.values() if queue.members]
        if len(alive) < len(self._queues):
            for queue in [queue for queue in self._queues.values() if not queue.members]:
                self._drop(queue)
        self._by_score.rebuild(alive, _score(alive, score_of, keys_of))
        self._scored = True

    def _drop(self, queue: Ranked) -> None:
        del self._queues[queue.subject]
        if session := queue.subject.session:
            del self._of_session[session][queue.number]
            if not self._of_session[session]:
                del self._of_session[session]

    def _score_new(self, score_of: ScoreOf, keys_of: KeysOf | None) -> None:
        """Subjects that came up since the last choice."""
        new = list(dict.fromkeys(queue for queue in self._unscored if queue.key is None and queue.members))
        for queue, key in zip(new, _score(new, score_of, keys_of), strict=True):
            self._by_score.offer(key, *queue.heap[0], queue)
        self._unscored.clear()


def _score(queues: list[Ranked], score_of: ScoreOf, keys_of: KeysOf | None) -> list[float]:
    """Score these queues anew. Returns their keys."""
    if keys_of is None:
        for queue in queues:
            queue.score = score_of(queue.subject)
            queue.key = queue.score.key
        return [queue.key or 0.0 for queue in queues]
    keys = keys_of([queue.subject for queue in queues])
    for queue, key in zip(queues, keys, strict=True):
        queue.key, queue.score = key, None
    return keys
