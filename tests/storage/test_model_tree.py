"""The modelled tree by itself: a victim that is cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.tree.victims import Choice
from radixdeck.storage.model_tree import ModelTree


class Oldest:
    """Keeps half of the leaf used longest ago; `gone`: nodes that left, and when they were used."""

    def __init__(self) -> None:
        self.leaves: dict[int, Any] = {}
        self.gone: list[tuple[int, int, float]] = []

    def added(self, node: Any) -> None: ...
    def split(self, child: Any, upper: Any) -> None: ...
    def expect(self, shortfall_tokens: int) -> None: ...
    def begin_eviction(self) -> None: ...

    def left(self, node: Any, *, to_host: bool) -> None:
        self.gone.append((node.id, len(node.key), node.last_access_time))

    def evictable(self, node: Any) -> None:
        self.leaves[node.id] = node

    def not_evictable(self, node_id: int) -> None:
        del self.leaves[node_id]

    def choose(self) -> Choice | None:
        oldest = min(self.leaves.values(), key=lambda node: node.last_access_time, default=None)
        if oldest is None:
            return None
        return Choice(oldest.id, Subject("private", ("a",)), Score(0.0), oldest.id)

    def kept(self, tokens: int, needed_tokens: int, page_size: int) -> int:
        return tokens // 2


def test_both_parts_of_a_victim_that_is_cut_are_as_old_as_it_was() -> None:
    watcher = Oldest()
    tree = ModelTree(watcher, page_size=4)
    for first in (100, 200):
        tree.insert(np.arange(first, first + 8, dtype=np.uint32))
    old = min(watcher.leaves.values(), key=lambda node: node.last_access_time)
    used = old.last_access_time
    assert tree.evict(3) == 4
    assert watcher.gone == [(old.id, 16, used)]
    (upper,) = (node for node in watcher.leaves.values() if node.source is old.source)
    assert (upper.pages, upper.last_access_time) == (4, used)
