"""The last events of one node as sentences, and how many came in which second: a bounded ring without any screen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from radixdeck.policies.events import AnyEvent, kind_of

from .per_second import PerSecond
from .words import printable

MAX_LINES = 5_000
MAX_GAPS = 1_000

ROUTINE = frozenset(
    {
        "engine_load_sampled",
        "first_token_sent",
        "host_node_kept",
        "node_added",
        "node_owned",
        "node_split",
        "prefix_inserted",
    }
)
"""Kinds that come with every request and seldom explain anything: shown on demand."""


class LogLine(NamedTuple):
    seq: int
    t_ns: int
    kind: str
    text: str
    event: AnyEvent

    def matches(self, query: str) -> bool:
        """Whether the lower-case `query` is in the words or the kind of this event."""
        return query in self.text.lower() or query in self.kind


class EventLog:
    """Lines in the order of their numbers. `version` changes whenever the content does."""

    def __init__(self) -> None:
        self.version = 0
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._gaps: deque[range] = deque(maxlen=MAX_GAPS)
        self._forgotten_seq = -1
        self._per_second = PerSecond()

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self._lines)

    @property
    def last_seq(self) -> int:
        return self._lines[-1].seq if self._lines else -1

    def add(self, seq: int, event: AnyEvent, text: str) -> None:
        """Append one event; one that is not newer than the last is known already and left out."""
        if seq <= self.last_seq:
            return
        if len(self._lines) == MAX_LINES:
            self._forgotten_seq = self._lines[0].seq
        self._lines.append(LogLine(seq, event.t_ns, kind_of(event), printable(text), event))
        self._per_second.add(event.t_ns // 1_000_000_000)
        self.version += 1

    def after(self, seq: int) -> list[LogLine]:
        """The lines with a higher number than `seq`, oldest first."""
        return list(takewhile(lambda line: line.seq > seq, reversed(self._lines)))[::-1]

    def skip(self, numbers: range) -> None:
        """Events with these numbers came, but not here: the connection was lost meanwhile, or a replay went ahead."""
        if numbers:
            self._gaps.append(numbers)

    def heard_from(self, seq: int) -> None:
        """Events from this number on come after all, as far as they are newer than the last line."""
        first = max(seq, self.last_seq + 1)
        if self._gaps and first < self._gaps[-1].stop:
            self.skip(range(self._gaps.pop().start, first))

    @property
    def whole_from(self) -> int:
        """The number from which on no event is missing among the lines, -1 if none is among all of them."""
        return next((gap.stop for gap in reversed(self._gaps) if gap.start > self._forgotten_seq), -1)

    def missing(self, seq: int) -> list[range]:
        """The numbers after `seq` of events that are not among the lines: forgotten, or never heard; ascending. Events
        that nobody here can read are not told of."""
        forgotten = range(seq + 1, self._forgotten_seq + 1)
        gaps = [gap for gap in self._gaps if gap.start > max(seq, self._forgotten_seq)]
        return [forgotten, *gaps] if forgotten else gaps

    def clear(self) -> None:
        self._lines.clear()
        self._gaps.clear()
        self._forgotten_seq = -1
        self._per_second.clear()
        self.version += 1

    def density(self, first_ns: int, last_ns: int, buckets: int) -> list[int]:
        """Events per bucket of equal time between two moments."""
        counts = [0] * buckets
        span_s = max(1e-9, (last_ns - first_ns) / 1e9)
        for second, number in self._per_second.items():
            place = int((second + 0.5 - first_ns / 1e9) / span_s * buckets)
            if 0 <= place < buckets:
                counts[place] += number
        return counts

    def select(self, query: str, *, routine: bool) -> list[LogLine]:
        """The lines that a filter leaves; an empty query leaves all. Routine kinds only if asked for or searched by
        their own name."""
        wanted = query.lower().strip()
        return [
            line
            for line in self._lines
            if (routine or line.kind not in ROUTINE or (wanted and wanted in line.kind))
            and (not wanted or line.matches(wanted))
        ]


def newest(lines: Iterable[LogLine], number: int) -> list[LogLine]:
    """The last `number` lines that are not routine."""
    return list(deque((line for line in lines if line.kind not in ROUTINE), maxlen=number))
