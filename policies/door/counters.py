"""Virtual token counters: what each was served, divided by its weight, with idle ones lifted when they come back."""

from __future__ import annotations

MAX_KNOWN = 4_096


class Counters:
    """Counters by name. A name is at work while it has requests at the door or in flight."""

    def __init__(self, max_known: int = MAX_KNOWN) -> None:
        self._served: dict[str, float] = {}
        self._at_work: dict[str, int] = {}
        self._left_at = 0.0
        self._max_known = max_known

    def __getitem__(self, name: str) -> float:
        return self._served.get(name, 0.0)

    def came(self, name: str) -> None:
        """One more request. Whoever was idle starts at the lowest of those at work, or where the last one left off."""
        if name not in self._at_work:
            floor = min((self._served[other] for other in self._at_work), default=self._left_at)
            self._served[name] = max(self._served.pop(name, 0.0), floor)
        self._at_work[name] = self._at_work.get(name, 0) + 1
        self._forget_idle()

    def left(self, name: str) -> None:
        """One request less."""
        count = self._at_work.get(name, 0) - 1
        if count > 0:
            self._at_work[name] = count
        elif self._at_work.pop(name, None) is not None:
            self._left_at = self._served[name]

    def charge(self, name: str, amount: float) -> None:
        """It was served this much, or less if negative."""
        if name in self._served:
            self._served[name] += amount

    def _forget_idle(self) -> None:
        """Of too many names those go that have been idle longest: they would be lifted anyway."""
        while len(self._served) > max(self._max_known, len(self._at_work)):
            del self._served[next(name for name in self._served if name not in self._at_work)]
