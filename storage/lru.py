"""SGLang's own eviction order: of all idle leaves the one used longest ago. Knows nothing of agents, so it is quick."""

from __future__ import annotations

from typing import Any

from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.tree.queues import Ask
from radixdeck.policies.tree.victims import Choice, VictimIndex

ANYONE = Subject("unowned")
EQUAL = Score(0.0)


def _equal(_: Subject) -> Score:
    return EQUAL


class LeastRecent:
    """Watches a ModelTree, see there; all nodes wait in one queue."""

    def __init__(self) -> None:
        self._index = VictimIndex(lambda _: ANYONE)
        self._ask = Ask(_equal)

    def added(self, node: Any) -> None: ...
    def split(self, child: Any, upper: Any) -> None: ...
    def left(self, node: Any, *, to_host: bool) -> None: ...
    def expect(self, shortfall_tokens: int) -> None: ...
    def begin_eviction(self) -> None: ...

    def evictable(self, node: Any) -> None:
        self._index.add(node)

    def not_evictable(self, node_id: int) -> None:
        self._index.discard(node_id)

    def kept(self, tokens: int, needed_tokens: int, page_size: int) -> int:
        return 0

    def choose(self) -> Choice | None:
        return self._index.choose(self._ask)
