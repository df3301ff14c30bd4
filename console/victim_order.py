"""In which order everything resident would be evicted if nothing were used any more, and when one node's turn comes.

Pure; what running requests hold is not known here.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from typing import NamedTuple

from radixdeck.daemon.wire import SubjectScore
from radixdeck.policies.fold.trends import FINE_S
from radixdeck.policies.residency import RunState

from .cache_map import Victim, held_tokens, urgency, victims_of
from .holders import briefly
from .trends import lately, total
from .words import brief, clip, parts, seconds, short, tokens

RATE_WINDOW_S = 60
VICTIM_HEAD = {
    False: "  tok   idle  whose; only what has nothing below it can go",
    True: "  score   tok   idle  whose; lowest score first, then oldest use",
}


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
    children = Counter(view.parent for view in run.nodes.values())
    victims = victims_of(run, scores)
    # Nearly all are leaves at the start: sorting those at once is faster than a heap, which the few others go through.
    leaves = deque(sorted((urgency(victim), node) for node, victim in victims.items() if not children[node]))
    freed: list[tuple[tuple[bool, float, int, int], int]] = []
    while leaves or freed:
        first = not freed or (leaves and leaves[0] < freed[0])
        _, node = leaves.popleft() if first else heapq.heappop(freed)
        yield victims[node]
        parent = victims[node].view.parent
        children[parent] -= 1
        if children[parent] == 0 and parent in victims and parent != node:
            heapq.heappush(freed, (urgency(victims[parent]), parent))


class Queue:
    """The whole order at one moment, worked out once for everything that a screen says of it."""

    def __init__(self, run: RunState, scores: Iterable[SubjectScore]) -> None:
        self.order = list(in_order(run, scores))
        self._run = run
        self._parents = {view.parent for view in run.nodes.values()}
        self._places = {victim.view.node: place for place, victim in enumerate(self.order)}
        self._before = [0, *accumulate(victim.view.tokens for victim in self.order)]

    def next(self, limit: int) -> list[Victim]:
        """The leaves in the order in which the engine would take them: lowest score first, ties by oldest use, pinned
        ones last. Where no score is known for any, plainly by oldest use."""
        return list(islice((victim for victim in self.order if victim.view.node not in self._parents), limit))

    def turn_of(self, nodes: Iterable[int], now_ns: int) -> Turn | None:
        """When the first of `nodes` goes; one that was not resident, or hangs in a ring of an odd stream, has no turn:
        None if none has."""
        place = min((self._places[node] for node in nodes if node in self._places), default=None)
        if place is None:
            return None
        free = max(0, self._run.capacity_tokens - held_tokens(self._run))
        per_s = computed_per_s(self._run, now_ns)
        return Turn(place + 1, self._before[place], free, per_s, self.order[place].pinned)


def computed_per_s(run: RunState, now_ns: int) -> float:
    """Prompt tokens computed a second over the last minute, all agents together; since they began, where nobody had
    asked for a minute before that."""
    now_s = now_ns // 1_000_000_000
    since_s = now_s - RATE_WINDOW_S
    known = lately(run, since_s - RATE_WINDOW_S, now_s)
    within = [one for one in known if one.t_s > since_s]
    first_s = since_s if len(within) < len(known) else min((one.t_s for one in within), default=since_s)
    recent = total(within)
    return max(0, recent.prompt_tokens - recent.cached_tokens) / max(FINE_S, now_s - first_s)


def turn_words(turn: Turn) -> str:
    """'goes as number 3: after 1,200 tok more, about 8.0 s at the present 150 tok/s'."""
    if turn.pinned:
        return f"pinned: goes as number {turn.place:,}, when nothing else is left"
    words = f"goes as number {turn.place:,}: after {tokens(turn.needed_tokens)} more"
    if not turn.per_s:
        return f"{words}; nothing is computed now"
    return f"{words}, about {seconds(turn.needed_tokens / turn.per_s)} at the present {short(turn.per_s)} tok/s"


NODE_TITLES = (
    *("goes", "node", "parent", "depth", "tokens"),
    *("role", "agents", "session", "idle_s", "hits", "pinned", "score"),
)
"""Of the columns that `node_rows` fills."""


def node_rows(queue: Queue, now_ns: int) -> Iterator[list[str]]:
    """Every node with its place, as it is written to a file."""
    for place, victim in enumerate(queue.order, 1):
        view = victim.view
        idle_s = f"{max(0, now_ns - view.last_use_ns) / 1e9:.3f}" if view.last_use_ns else ""
        score = "" if victim.key is None else f"{victim.key:.6g}"
        numbers = (place, view.node, view.parent, view.start, view.tokens)
        whose = (view.role, " ".join(view.agents), view.session)
        pinned = "yes" if victim.pinned else ""
        yield [*map(str, numbers), *whose, idle_s, str(view.hits), pinned, score]


def victim_line(victim: Victim, now_ns: int, *, scored: bool, width: int = 60) -> str:
    """One node that would go soon: its score if any has one, tokens, idle time, whose it is, and why where there is
    room."""
    view = victim.view
    idle = brief(max(0, now_ns - view.last_use_ns) / 1e9) if view.last_use_ns else "never"
    score = "-" if victim.key is None else f"{victim.key:.3g}"
    pinned = "* " if victim.pinned else ""
    line = f"{short(view.tokens):>5} {idle:>6}  {pinned}{briefly(view.role, view.agents, view.session)}"
    line = f"{score:>7} {line}" if scored else line
    why = f"  ({parts(victim.parts)})" if victim.parts and width > 50 else ""
    return f"{clip(line, width - 20)}{why}" if why else line
