"""The KV pool as cells: which stretch of the picture each cache node covers, and who would be evicted next. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from itertools import chain
from math import ceil
from operator import attrgetter
from typing import NamedTuple

from radixdeck.daemon.wire import SubjectScore
from radixdeck.policies.events import NO_NODE, Part, Role
from radixdeck.policies.primitives import Subject
from radixdeck.policies.residency import NodeView, RunState, resident_tokens
from radixdeck.policies.tree.subjects import subject_of

ROLE_ORDER: dict[Role, int] = {"shared": 0, "anchor": 1, "private": 2, "unowned": 3}
PENDING = -2
"""Stands for what running requests hold that is not in the tree yet."""


class Span(NamedTuple):
    """Cells `first` up to, not including, `end` belong to `node` (NO_NODE: free; PENDING: held by running requests)."""

    first: int
    end: int
    node: int


class CacheMap:
    """Spans that cover `cells` cells without a gap. A node smaller than half a cell may have none. `gone`: where nodes
    that are no longer there had been, in order and apart; spans of others lie below these."""

    def __init__(self, spans: list[Span], cells: int, tokens_per_cell: float, gone: list[Span] | None = None) -> None:
        self.spans = spans
        self.cells = cells
        self.tokens_per_cell = tokens_per_cell
        self.gone = gone or []

    @cached_property
    def _places(self) -> dict[int, int]:
        return {span.node: place for place, span in enumerate(self.spans)}

    def place_at(self, cell: int) -> int:
        """Which of `spans` covers a cell, clamped to the map."""
        return max(0, bisect_right(self.spans, cell, key=_FIRST) - 1)

    def at(self, cell: int) -> Span:
        """The span that covers a cell, clamped to the map. Raises IndexError on an empty map."""
        return self.spans[self.place_at(cell)]

    def span_of(self, node: int) -> Span | None:
        place = self._places.get(node)
        return None if place is None else self.spans[place]

    def beside(self, node: int, places: int, has: Callable[[int], bool] = lambda _: True) -> int:
        """The node `places` further along the map, skipping what is no node; the same one at the ends. `has`: whether
        a node is still there."""
        nodes = [span.node for span in self.spans if span.node >= 0 and (span.node == node or has(span.node))]
        if not nodes:
            return NO_NODE
        if node not in nodes:
            return nodes[0]
        return nodes[max(0, min(len(nodes) - 1, nodes.index(node) + places))]


def ordered(views: Iterable[NodeView], run: RunState) -> list[NodeView]:
    """Nodes as the map shows them: shared prefixes, then agent by agent (in the order the run met them) the anchor and
    the histories by session, then what nobody owns; down the tree within each, so the picture is stable."""
    rank = {agent: place for place, agent in enumerate(run.agents)}
    groups: dict[tuple[int, int, int, str], list[NodeView]] = {}
    of_kind: dict[tuple[Role, tuple[str, ...], str], list[NodeView]] = {}
    for view in views:
        kind = (view.role, view.agents, view.session)
        group = of_kind.get(kind)
        if group is None:
            group = of_kind[kind] = groups.setdefault(_group(view, rank), [])
        if view.tokens > 0:
            group.append(view)
    ordered: list[NodeView] = []
    for key in sorted(groups):
        ordered += sorted(groups[key], key=_DOWN)
    return ordered


_DOWN = attrgetter("start", "node")
_FIRST = attrgetter("first")


def _group(view: NodeView, rank: dict[str, int]) -> tuple[int, int, int, str]:
    single = len(view.agents) == 1 and view.role in ("anchor", "private")
    group = 1 if single else 0 if view.agents else 2
    agent = rank.get(view.agents[0], len(rank)) if single else 0
    return group, agent, ROLE_ORDER.get(view.role, 3), view.session


def held_tokens(run: RunState) -> int:
    """Tokens of the pool that are taken: what the tree holds, or more where the engine says so. The engine's own sample
    may leave out what it could evict."""
    return max(run.used_tokens, resident_tokens(run))


def lay_out(run: RunState, cells: int, gone: Sequence[NodeView] = ()) -> CacheMap:
    """Cover `cells` cells with the KV pool. A cell shows whoever holds the token in its middle. `gone`: nodes that have
    left; they take no room from the others, and where they had been is told beside."""
    resident = resident_tokens(run)
    capacity = max(run.capacity_tokens, resident, 1)
    per_cell = capacity / max(1, cells)
    left = {view.node: view for view in gone if view.node not in run.nodes}
    views = ordered(chain(run.nodes.values(), left.values()), run)
    spans, marks = spans_of(views, left.keys(), per_cell, cells)
    end = spans[-1].end if spans else 0
    held = min(cells, ceil(min(capacity, max(run.used_tokens, resident)) / per_cell - 0.5))
    if held > end:
        spans.append(Span(end, held, PENDING))
        end = held
    if end < cells:
        spans.append(Span(end, cells, NO_NODE))
    return CacheMap(spans, cells, per_cell, marks)


def spans_of(
    views: list[NodeView], left: Collection[int], per_cell: float, cells: int
) -> tuple[list[Span], list[Span]]:
    """Where each node lies, and where those in `left` had been: behind what comes before them, in a cell at least."""
    spans: list[Span] = []
    marks: list[Span] = []
    place = end = marked = 0
    for view in views:
        if view.node in left:
            first = max(end, marked)
            marked = min(cells, first + max(1, round(min(view.tokens / per_cell, cells))))
            if first < marked:
                marks.append(Span(first, marked, view.node))
            continue
        place += view.tokens
        first, end = end, ceil(place / per_cell - 0.5)
        if end > first:
            spans.append(Span(first, end, view.node))
    return spans, marks


def is_pinned(view: NodeView, run: RunState) -> bool:
    """Whether the node itself is pinned, or, as an anchor or a shared prefix, one of its agents."""
    if view.role not in ("anchor", "shared"):
        return view.pinned
    return view.pinned or any(agent in run.agents and run.agents[agent].pinned for agent in view.agents)


def is_retained(view: NodeView, run: RunState) -> bool:
    """Whether it belongs to one agent alone whose tokens are retained now."""
    stats = run.agents.get(view.agents[0]) if len(view.agents) == 1 else None
    return stats is not None and stats.retain_tokens > 0


def sign_of(view: NodeView, run: RunState) -> str:
    """'*' pinned, '=' retained, '' neither."""
    return "*" if is_pinned(view, run) else "=" if is_retained(view, run) else ""


class Victim(NamedTuple):
    """A node that would go soon. `key`: its score, None where no score is known."""

    view: NodeView
    pinned: bool
    key: float | None
    parts: dict[str, float]


def victims_of(run: RunState, scores: Iterable[SubjectScore]) -> dict[int, Victim]:
    """Every resident node as something that may go. Those without a score share their parts, which are none."""
    known = _by_subject(scores)
    nothing: dict[str, float] = {}
    single = {subject.node for subject in known if subject.node != NO_NODE}
    met: dict[tuple[Role, tuple[str, ...], str, Part], SubjectScore | None] = {}
    victims: dict[int, Victim] = {}
    for node, view in run.nodes.items():
        if node in single:
            score = _score(known, view)
        elif not known:
            score = None
        else:
            kind = (view.role, view.agents, view.session, view.part)
            if kind not in met:
                met[kind] = _score(known, view)
            score = met[kind]
        pinned = view.pinned if view.role == "private" else is_pinned(view, run)
        victims[node] = Victim(view, pinned, score.key, score.parts) if score else Victim(view, pinned, None, nothing)
    return victims


def score_of(view: NodeView, scores: Iterable[SubjectScore]) -> SubjectScore | None:
    """What the policies give this node now, if they said."""
    return _score(_by_subject(scores), view)


_Known = dict[Subject, SubjectScore]


def _by_subject(scores: Iterable[SubjectScore]) -> _Known:
    return {Subject(s.role, s.agents, s.session, s.node, s.part): s for s in scores}


def _score(known: _Known, view: NodeView) -> SubjectScore | None:
    """The score of the node itself if it was singled out, else of its kind."""
    single = known.get(subject_of(view.role, view.agents, view.session, view.node, view.part))
    return single or known.get(subject_of(view.role, view.agents, view.session, part=view.part))


def urgency(victim: Victim) -> tuple[bool, float, int, int]:
    """What victims are ordered by, the first to go first."""
    return victim.pinned, victim.key or 0.0, victim.view.last_use_ns, victim.view.node
