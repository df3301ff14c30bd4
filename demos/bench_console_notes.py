"""What a measured console notes of itself, in room taken at the start: a soak must not find its own notes growing."""

from __future__ import annotations

from array import array
from collections.abc import Mapping


class Numbers:
    """The first `most` numbers that are noted."""

    def __init__(self, most: int) -> None:
        self._room = array("d", bytes(8 * most))
        self._noted = 0

    def note(self, value: float) -> None:
        if self._noted < len(self._room):
            self._room[self._noted] = value
            self._noted += 1

    @property
    def values(self) -> list[float]:
        return self._room[: self._noted].tolist()


class Sizes:
    """How many of each thing there were when last noted, and at most."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def note(self, sizes: Mapping[str, int]) -> None:
        self.last = dict(sizes)
        for name, number in sizes.items():
            self.most[name] = max(number, self.most.get(name, 0))
