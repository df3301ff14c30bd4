"""Which node goes next: one queue per subject by last use, the lowest-scored queue head is the victim.

A subject is scored once per eviction call. After that a victim costs O(log subjects), however many nodes are resident:
the heads of the queues wait in two heaps, by score and by age. The one by score holds only queues of the lowest key,
and those of the next one when they run out: most subjects are never looked at. Those of ended sessions, whose key stays
0, wait in it from one call to the next, and while there are any of which policies are sure, nothing is scored at all.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from itertools import compress, count
from operator import ne

import msgspec

from ..primitives import Score, Subject
from .by_subject import BySubject
from .queues import SLACK, Ask, Entry, Heads, Node, Ranked, ScoreOf, Worthless


class Choice(msgspec.Struct, frozen=True):
    """A victim with its subject and score, and the node that plain LRU would have taken."""

    node: int
    subject: Subject
    score: Score
    oldest: int


class VictimIndex:
    """All evictable nodes by subject. `classify` tells a node's subject."""

    def __init__(self, classify: Callable[[int], Subject]) -> None:
        self._classify = classify
        self.by_subject = BySubject()
        self._where: dict[int, Ranked] = {}
        self._emptied: dict[int, Ranked] = {}
        self._by_age = Heads()
        self._forget_scores()

    def __len__(self) -> int:
        return len(self._where)

    @property
    def subjects(self) -> list[Subject]:
        return list(self.by_subject.queues)

    def clear(self) -> None:
        self.by_subject.clear()
        self._where.clear()
        self._emptied.clear()
        self._by_age = Heads()
        self._forget_scores()

    def _forget_scores(self) -> None:
        """`lowest`: heads of the queues whose key is at most `reached`; `pure`: all of them have that key. `listed`:
        all queues, or all whose key is not 0, when they were scored; `pending`: (key, place in `listed`) of those above
        `reached`, the lowest last, None until they are needed. `looked_at`: the latest queue that was not scored but
        might have been known to be worth nothing, since eviction began."""
        self._scored, self._looked_at = False, 0
        self._unscored: dict[int, Ranked] = {}
        self._lowest = Heads()
        self._reached = -math.inf
        self._pure = False
        self._listed: list[Ranked] = []
        self._pending: list[tuple[float, int]] | None = None
        self._told: list[Ranked] = []

    # ---- nodes come, go and change hands -----------------------------------------------------------------------------

    def add(self, node: Node) -> None:
        subject = self._classify(node.id)
        queue = self._where[node.id] = self.by_subject.queues.get(subject) or self._new_queue(subject)
        queue.add(node)
        self._by_age.offer(0.0, node.last_access_time, node.id, queue)
        if queue.key is None:
            self._unscored[queue.number] = queue
        elif queue.key <= self._reached:
            self._lowest.offer(queue.key, node.last_access_time, node.id, queue)

    def _new_queue(self, subject: Subject) -> Ranked:
        if 2 * len(self._emptied) > len(self.by_subject) + SLACK:
            self._drop_emptied()  # a pass over all queues would go on costing what there were at most
        return self.by_subject.make(subject)

    def discard(self, node_id: int) -> Node | None:
        """Take a node out; None if it was not in."""
        queue = self._where.pop(node_id, None)
        if queue is None:
            return None
        node = queue.members.pop(node_id, None)
        if not queue.members:
            self._emptied[queue.number] = queue
        return node

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
        for queue in self.by_subject.queues_of(session):
            for node_id in list(queue.members):
                self.move(node_id)

    # ---- choosing ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Scores may have changed: each subject is scored anew when it is next in question."""
        self._scored, self._looked_at = False, 0
        for queue in self._told:
            queue.score = None
        self._told.clear()

    def choose(self, ask: Ask) -> Choice | None:
        """The head with the lowest (score, last use), None if nothing is evictable. Asks for the key of each subject
        that has nodes once from one `begin` to the next; with `keys_of` for many at a time, and then for the whole
        score of those only that victims are taken from; with `nonzero_of` for those that are not 0, where that is
        enough. While the lowest head is `worthless`, nothing else is asked: of what is 0 that is the oldest, but for
        what has become 0 since keys were told last and is not so for sure."""
        lowest, oldest = self._lowest_head(ask), self._by_age.first()
        while lowest is not None and self._classify(lowest[2]) != lowest[4].subject:
            self.move(lowest[2])  # its session was over, and has come back
            lowest = self._lowest_head(ask)
        if lowest is None or oldest is None:
            return None
        queue = lowest[4]
        if queue.score is None:
            self._told.append(queue)
        return Choice(lowest[2], queue.subject, queue.scored(ask.score_of), oldest[2])

    def _lowest_head(self, ask: Ask) -> Entry | None:
        if not self._scored:
            if (lowest := self._skimmed(ask)) is not None:
                return lowest
            self._score_all(ask)
        if self._unscored:
            self._score_new(ask)
        lowest = self._lowest.first()
        while lowest is None and self._reach_on():
            lowest = self._lowest.first()
        return lowest

    def upcoming(self, score_of: ScoreOf, number: int) -> list[tuple[int, Subject, Score]]:
        """The `number` evictable nodes that rank lowest now. Changes nothing; costs as much as there are nodes."""
        ranked = (
            (score.key, node.last_access_time, node_id, queue.subject, score)
            for queue in self.by_subject.queues.values()
            if queue.members
            for score in (score_of(queue.subject),)
            for node_id, node in queue.members.items()
        )
        lowest = heapq.nsmallest(number, ranked, key=lambda one: one[:3])
        return [(node_id, subject, score) for _, _, node_id, subject, score in lowest]

    @property
    def _zero_is_lowest(self) -> bool:
        """Whether it was when keys were told last."""
        return self._pure and self._reached == 0.0

    def _skimmed(self, ask: Ask) -> Entry | None:
        """The lowest head, if its key is the lowest there may be for sure."""
        worthless = ask.worthless
        if worthless is None or not self._zero_is_lowest:
            return None
        if not self._looked_at:
            self._drop_emptied()
            self._zero(self._worth_something(), worthless)
        if self._looked_at != self.by_subject.made:
            new = [queue for queue in self._unscored.values() if queue.number > self._looked_at]
            self._zero(new, worthless)
            self._looked_at = self.by_subject.made
        lowest = self._lowest.first()
        return lowest if lowest is not None and worthless(lowest[4].subject) else None

    def _zero(self, queues: list[Ranked], worthless: Worthless) -> None:
        """Let the key be 0 of those of which it is so."""
        for queue in queues:
            if worthless(queue.subject):
                queue.key = 0.0
                self._unscored.pop(queue.number, None)
                if queue.members:
                    self._lowest.offer(0.0, *queue.bound(), queue)

    def _worth_something(self) -> list[Ranked]:
        """Whose keys were not 0 when they were told last."""
        queues = self.by_subject.queues
        return [queue for queue in self._listed if queue.key and queues.get(queue.subject) is queue]

    def _score_all(self, ask: Ask) -> None:
        self._drop_emptied()
        nonzero = ask.nonzero_of(self.by_subject) if ask.nonzero_of is not None and self._zero_is_lowest else None
        if nonzero is not None and min(nonzero.values(), default=0.0) >= 0.0:
            self._score_nonzero(nonzero)
        else:
            self._score_each(ask)
        self._unscored.clear()
        self._pending, self._scored = None, True

    def _score_each(self, ask: Ask) -> None:
        self._listed = queues = list(self.by_subject.queues.values())
        keys = self._keys(queues, ask)
        if not queues:
            return
        low = min(keys)
        if self._pure and low == self._reached:
            self._update_lowest(low, queues, keys)
            return
        for queue, key in zip(queues, keys, strict=True):
            queue.key = key
        self._lowest.rebuild(low, [queue for queue in queues if queue.key == low])
        self._reached, self._pure = low, True

    def _update_lowest(self, low: float, queues: list[Ranked], keys: list[float]) -> None:
        """The lowest key is what it was: only queues that have it now or had it before are of interest."""
        before = [queue.key for queue in queues]
        for place in compress(count(), map(ne, before, keys)):  # most are as they were
            queue = queues[place]
            queue.key = keys[place]
            if queue.key == low:
                self._lowest.offer(low, *queue.bound(), queue)
            elif before[place] == low:
                self._lowest.forget(queue)

    def _score_nonzero(self, nonzero: Mapping[Subject, float]) -> None:
        """The lowest key was 0, and none is below it now: no queue is looked at whose key was and is 0."""
        queues = self.by_subject.queues
        self._zero([*self._unscored.values(), *self._worth_something()], lambda subject: not nonzero.get(subject))
        self._listed = []
        for subject, key in nonzero.items():
            if key and (queue := queues.get(subject)) is not None:
                if queue.key == 0.0:
                    self._lowest.forget(queue)
                queue.key = key
                self._listed.append(queue)

    def _reach_on(self) -> bool:
        """Take in the queues of the next higher key. False if there are none."""
        if self._pending is None:
            keys = [queue.key for queue in self._listed]
            above = [(key, place) for place, key in enumerate(keys) if key is not None and key > self._reached]
            self._pending = sorted(above, reverse=True)
        if not self._pending:
            return False
        self._reached, self._pure = self._pending[-1][0], False
        while self._pending and self._pending[-1][0] == self._reached:
            queue = self._listed[self._pending.pop()[1]]
            if queue.members:
                self._lowest.offer(self._reached, *queue.bound(), queue)
        return True

    def _drop_emptied(self) -> None:
        for queue in self._emptied.values():
            if not queue.members:
                self._drop(queue)
        self._emptied.clear()

    def _drop(self, queue: Ranked) -> None:
        self.by_subject.drop(queue)
        self._by_age.forget(queue)
        self._lowest.forget(queue)
        self._unscored.pop(queue.number, None)

    def _score_new(self, ask: Ask) -> None:
        """Subjects that came up since the last choice."""
        new = [queue for queue in self._unscored.values() if queue.key is None and queue.members]
        self._unscored.clear()
        for queue, key in zip(new, self._keys(new, ask), strict=True):
            queue.key = key
            if key > self._reached:
                self._listed.append(queue)
                if self._pending is not None:
                    self._pending.append((key, len(self._listed) - 1))
                    self._pending.sort(reverse=True)
            else:
                self._lowest.offer(key, *queue.bound(), queue)
                self._pure = self._pure and key == self._reached

    def _keys(self, queues: list[Ranked], ask: Ask) -> list[float]:
        if ask.keys_of is not None:
            return ask.keys_of([queue.subject for queue in queues])
        for queue in queues:
            queue.score = ask.score_of(queue.subject)
            self._told.append(queue)
        return [queue.score.key for queue in queues if queue.score is not None]
