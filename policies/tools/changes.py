"""What changes what tools read: which state a call belongs to, and whether that may be changing at this moment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from .calls import Ticket
from .canonical import canonical
from .rules import MemoRules

CALLED_OFF = "a call of {} was called off, and nobody knows when it ends"
FOR_EVER_S = float("inf")
MAX_SUBJECTS, MAX_SETTLING = 65_536, 256


class Changes:
    """`under_way`: calls that have a ticket and are not over, by its number."""

    def __init__(self, rules: MemoRules) -> None:
        self.rules = rules
        self.under_way: dict[int, Ticket] = {}
        self._whole: Counter[str] = Counter()
        self._about: defaultdict[str, Counter[bytes | None]] = defaultdict(Counter)
        self._settling: list[tuple[float, Ticket]] = []

    def state(self, tool: str, subject: bytes | None) -> tuple[int, int]:
        """Which state a call of `tool` about `subject` reads: another one after each change that touches it."""
        return self._whole[tool], self._about[tool][subject]

    def changed(self, writer: Ticket) -> Iterator[tuple[str, bytes | None]]:
        """Count what this call changes; yields each tool, and the subject if not all that it says is touched."""
        for tool in self.rules.changed_by(writer.tool):
            subject = subject_of(writer.arguments, self.rules.per(tool, writer.tool))
            if subject is None or len(self._about[tool]) >= MAX_SUBJECTS:
                self.changed_all(tool)
                yield tool, None
            else:
                self._about[tool][subject] += 1
                self._about[tool][None] += 1
                yield tool, subject

    def changed_all(self, tool: str) -> None:
        """Count a change of all that a tool reads."""
        self._whole[tool] += 1
        self._about.pop(tool, None)

    def settle(self, writer: Ticket, now_s: float, for_s: float) -> None:
        """A call that changes things goes on doing so for this long."""
        if for_s <= 0:
            return
        self._settling.append((now_s + for_s, writer))
        if len(self._settling) > MAX_SETTLING:  # too many to keep apart: what they change counts, not what about
            latest: dict[tuple[str, ...], tuple[float, Ticket]] = {}
            for until_s, one in sorted(self._settling, key=lambda pair: pair[0]):
                whole = msgspec.structs.replace(one, arguments=None)
                latest[tuple(self.rules.changed_by(one.tool))] = (until_s, whole)
            self._settling = list(latest.values())

    def unsettled(self, tool: str, subject: bytes | None, now_s: float) -> str:
        """Why what a call reads may be changing now, '' if it is not."""
        for writer in self.under_way.values():
            if self._touches(writer, tool, subject):
                return f"{writer.tool} is under way"
        self._settling = [(until_s, writer) for until_s, writer in self._settling if until_s > now_s]
        for until_s, writer in self._settling:
            if self._touches(writer, tool, subject):
                called_off = CALLED_OFF.format(writer.tool)
                return called_off if until_s == FOR_EVER_S else f"{writer.tool} has only just been called"
        return ""

    def begin_again(self) -> None:
        """Whatever was under way is over."""
        self.under_way.clear()
        self._settling.clear()

    def _touches(self, writer: Ticket, tool: str, subject: bytes | None) -> bool:
        if tool not in self.rules.changed_by(writer.tool):
            return False
        changed = subject_of(writer.arguments, self.rules.per(tool, writer.tool))
        return changed is None or subject is None or changed == subject


def subject_of(arguments: Any, per: str | None) -> bytes | None:
    """What a call is about, by its argument `per`; None if that cannot be told."""
    if per is None or not isinstance(arguments, dict):
        return None
    value = cast("dict[str, Any]", arguments).get(per)
    return canonical(value) if type(value) in (str, int) else None
