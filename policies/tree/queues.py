"""Queues of evictable nodes by last use, and the heads of many queues in the order in which they would go.

Everything is corrected lazily: a node's last use only ever grows, so an old entry is a lower bound that is checked when
it comes to the top. Nodes mostly come in the order of their use and simply wait in line then: however long the line is,
only its ends are touched, where a heap compares entries all over memory.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from ..primitives import Score, Subject, Subjects

SLACK = 64
"""Heaps are rebuilt when stale entries outnumber what is alive by far; never while they are this small."""


class Node(Protocol):
    """What is needed of a tree node. `last_access_time`: its counter of accesses, not a clock."""

    id: int
    last_access_time: float


Place = tuple[float, int]
"""Last use and id of a node."""

ScoreOf = Callable[[Subject], Score]
KeysOf = Callable[[list[Subject]], list[float]]
NonzeroOf = Callable[[Subjects], Mapping[Subject, float] | None]
Worthless = Callable[[Subject], bool]


class Ask(NamedTuple):
    """What tells scores: of one subject; the keys of many; those of all that are not 0, or None: then all are asked
    for; and whether a key is 0 for sure, which is asked before anything else. See BasePolicy."""

    score_of: ScoreOf
    keys_of: KeysOf | None = None
    nonzero_of: NonzeroOf | None = None
    worthless: Worthless | None = None


class Queue:
    """The evictable nodes of one subject, oldest use first. Each has one entry, (last use, node id), in `_line`, which
    ascends, or in the heap `_strays` if it came out of order."""

    __slots__ = ("_line", "_queued", "_strays", "members")

    def __init__(self) -> None:
        self.members: dict[int, Node] = {}
        self._line: deque[Place] = deque()
        self._strays: list[Place] = []
        self._queued: set[int] = set()

    @property
    def entries(self) -> int:
        """How many there are, of nodes that are gone too."""
        return len(self._line) + len(self._strays)

    def add(self, node: Node) -> None:
        self.members[node.id] = node
        if node.id not in self._queued:
            self._queued.add(node.id)
            self._enter((node.last_access_time, node.id))
        elif self.entries > SLACK + 4 * len(self.members):
            self._compact()

    def bound(self) -> Place:
        """What the head is not below, while there are members."""
        line, strays = self._line, self._strays
        return line[0] if line and not (strays and strays[0] < line[0]) else strays[0]

    def head(self) -> Place | None:
        """(last use, node id) of the member used longest ago."""
        line, strays, members = self._line, self._strays, self.members
        while line or strays:
            in_line = bool(line) and not (strays and strays[0] < line[0])
            place = line[0] if in_line else strays[0]
            node = members.get(place[1])
            if node is not None and node.last_access_time == place[0]:
                return place
            if in_line:
                line.popleft()
            else:
                heapq.heappop(strays)
            if node is None:
                self._queued.discard(place[1])
            else:
                self._enter((node.last_access_time, place[1]))
        return None

    def _enter(self, place: Place) -> None:
        if not self._line or place > self._line[-1]:
            self._line.append(place)
        else:
            heapq.heappush(self._strays, place)

    def _compact(self) -> None:
        self._line = deque(sorted((node.last_access_time, node_id) for node_id, node in self.members.items()))
        self._strays = []
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
        heap = [(key, *queue.bound(), queue.number, queue) for queue in queues]
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
