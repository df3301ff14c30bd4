"""A queue that never blocks its writer and never grows: latest value per key, a bounded ring for the rest."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in the order they were put. One that is put under the key of a waiting one takes its place, at the end.

    Items without a key share `max_weight`, in the writer's own unit; what is over drops the oldest of them.
    One reader at a time.
    """

    def __init__(self, max_weight: int) -> None:
        self.weight = 0
        self._max_weight = max_weight
        self._items: OrderedDict[str | int, tuple[T, int]] = OrderedDict()
        self._serial = count()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, *, key: str | None = None, weight: int = 0) -> list[T]:
        """Add an item; what had to be dropped for it, oldest first (a replaced one is not told)."""
        slot: str | int = next(self._serial) if key is None else key
        if key is not None:
            self._items.pop(key, None)
            weight = 0
        self._items[slot] = (item, weight)
        self.weight += weight
        self._arrived.set()
        return self._shed() if self.weight > self._max_weight else []

    def put_back(self, item: T, weight: int) -> None:
        """Return an item without a key that was taken and not used: it is the next again."""
        slot = -1 - next(self._serial)
        self._items[slot] = (item, weight)
        self._items.move_to_end(slot, last=False)
        self.weight += weight
        self._arrived.set()

    def discard(self, unwanted: Callable[[T], bool]) -> None:
        """Drop every waiting item that is unwanted."""
        for slot in [slot for slot, (item, _) in self._items.items() if unwanted(item)]:
            self.weight -= self._items.pop(slot)[1]

    async def get(self) -> tuple[T, int]:
        """The next item and its weight; waits for one."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        _, (item, weight) = self._items.popitem(last=False)
        self.weight -= weight
        return item, weight

    def _shed(self) -> list[T]:
        dropped: list[T] = []
        for slot in [slot for slot in self._items if isinstance(slot, int)]:
            if self.weight <= self._max_weight:
                break
            item, weight = self._items.pop(slot)
            self.weight -= weight
            dropped.append(item)
        return dropped
