"""In which order everything resident would be evicted if nothing were used any more, and when one node's turn comes.

Pure; what running requests hold is not known here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from radixdeck.daemon.wire import SubjectScore
from radixdeck.policies.fold_trends import FINE_S
from radixdeck.policies.residency import RunState

from .cache_map import Victim, held_tokens, urgency, victims_of
from .trends import total
from .words import seconds, short, tokens

RATE_WINDOW_S = 60


class Turn(NamedTuple):
    """When a node's turn comes: it is the `place`-th to go, `before_tokens` go earlier, `free_tokens` are free now;
    `per_s`: tokens computed a second lately."""

    place: int
    before_tokens: int
    free_tokens: int
    per_s: float
    pinned: bool

    @property
    def needed_tokens(self) -> int:
        """What must still be computed before it goes."""
        return self.free_tokens + self.before_tokens + 1


def in_order(run: RunState, scores: Iterable[SubjectScore]) -> Iterator[Victim]:
    """Every node, leaves first, a node as soon as nothing is below it."""
    children: dict[int, int] = {}
    for view in run.nodes.values():
        children[view.parent] = children.get(view.parent, 0) + 1
    victims = victims_of(run, scores)
    waiting = [(urgency(victim), node) for node, victim in victims.items() if not children.get(node)]
    heapq.heapify(waiting)
    while waiting:
        _, node = heapq.heappop(waiting)
        yield victims[node]
        parent = victims[node].view.parent
        children[parent] = children.get(parent, 0) - 1
        if children[parent] == 0 and parent in victims and parent != node:
            heapq.heappush(waiting, (urgency(victims[parent]), parent))


def turn_of(run: RunState, scores: Iterable[SubjectScore], node: int, now_ns: int) -> Turn | None:
    """When `node` goes; None for a node that is not resident, or hangs in a ring of an odd stream."""
    before = 0
    for place, victim in enumerate(in_order(run, scores), 1):
        if victim.view.node == node:
            free = max(0, run.capacity_tokens - held_tokens(run))
            return Turn(place, before, free, computed_per_s(run, now_ns), victim.pinned)
        before += victim.view.tokens
    return None


def computed_per_s(run: RunState, now_ns: int) -> float:
    """Prompt tokens computed a second over the last minute, all agents together."""
    since_s = now_ns // 1_000_000_000 - RATE_WINDOW_S
    newest = (one for trend in run.trends.values() for one in trend[-1 - RATE_WINDOW_S // FINE_S :])
    recent = total(one for one in newest if one.t_s > since_s)
    return max(0, recent.prompt_tokens - recent.cached_tokens) / RATE_WINDOW_S


def turn_words(turn: Turn) -> str:
    """'goes as number 3: after 1,200 tok more, about 8.0 s at the present 150 tok/s'."""
    if turn.pinned:
        return f"pinned: goes as number {turn.place:,}, when nothing else is left"
    words = f"goes as number {turn.place:,}: after {tokens(turn.needed_tokens)} more"
    if not turn.per_s:
        return f"{words}; nothing is computed now"
    return f"{words}, about {seconds(turn.needed_tokens / turn.per_s)} at the present {short(turn.per_s)} tok/s"
