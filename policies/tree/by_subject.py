"""Queues of evictable nodes by subject, and which of them are one session's or common to sessions."""

from __future__ import annotations

from collections.abc import Iterable

from ..primitives import Subject
from .queues import Ranked


class BySubject:
    """Queues by their subjects; `made`: how many there ever were, the number of the latest. For policies it is a
    `primitives.Subjects`."""

    def __init__(self) -> None:
        self.queues: dict[Subject, Ranked] = {}
        self._of_session: dict[str, dict[int, Ranked]] = {}
        self._common: dict[int, Ranked] = {}
        self.made = 0

    def __len__(self) -> int:
        return len(self.queues)

    def clear(self) -> None:
        self.queues.clear()
        self._of_session.clear()
        self._common.clear()

    def make(self, subject: Subject) -> Ranked:
        """A queue for a subject that has none."""
        self.made += 1
        queue = self.queues[subject] = Ranked(subject, self.made)
        if subject.session:
            self._of_session.setdefault(subject.session, {})[queue.number] = queue
        if subject.role != "private":
            self._common[queue.number] = queue
        return queue

    def drop(self, queue: Ranked) -> None:
        del self.queues[queue.subject]
        self._common.pop(queue.number, None)
        if session := queue.subject.session:
            del self._of_session[session][queue.number]
            if not self._of_session[session]:
                del self._of_session[session]

    def queues_of(self, session: str) -> list[Ranked]:
        return list(self._of_session.get(session, {}).values())

    # ---- what policies may ask ---------------------------------------------------------------------------------------

    def common(self) -> Iterable[Subject]:
        """See Subjects.common."""
        return [queue.subject for queue in self._common.values()]

    def of_session(self, session: str) -> Iterable[Subject]:
        """See Subjects.of_session."""
        return [queue.subject for queue in self.queues_of(session)]
