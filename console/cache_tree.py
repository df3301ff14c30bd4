"""The radix tree as rows: what is below what, what is folded away, what a filter leaves. Pure.

A node that is its parent's only child stands straight below it: only where the tree branches do rows move to the right,
so that a session's history of fifty turns is still read on a narrow terminal.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from radixdeck.policies.events import Role
from radixdeck.policies.residency import NodeView, RunState
from radixdeck.policies.tree.parts import PASSED_BY

from .cache_map import ordered
from .words import short

FOLDS = ("nothing", "each session's history", "each agent's anchor with what is below it")
"""What is folded unless somebody unfolds it."""
CLOSING: tuple[frozenset[Role], ...] = (frozenset(), frozenset({"private"}), frozenset({"anchor", "private"}))
"""By fold: the roles of which the first node down the tree is closed."""
PART_WORDS = {"output": "output", **dict.fromkeys(PASSED_BY, "superseded")}


class Row(NamedTuple):
    """One node of the tree as a line. `level`: how far to the right; `straight`: it hangs alone below the row above it.
    `below`, `below_tokens`: everything below it; `folded`: none of that is shown; `found`: the filter found itself, and
    not only something below it."""

    view: NodeView
    level: int
    straight: bool
    below: int
    below_tokens: int
    folded: bool
    found: bool = True


class CacheTree:
    """Who is below whom in one state of a run, on the device or on the host only. In a ring of an odd stream one node
    stands for a root."""

    def __init__(self, run: RunState) -> None:
        nodes = self._nodes = {**run.nodes, **run.host} if run.host else run.nodes
        place = {view.node: number for number, view in enumerate(ordered(nodes.values(), run))}
        self._children: dict[int, list[int]] = {}
        roots: list[int] = []
        for node in sorted(nodes, key=lambda node: (place.get(node, len(place)), node)):
            parent = nodes[node].parent
            if parent in nodes and parent != node:
                self._children.setdefault(parent, []).append(node)
            else:
                roots.append(node)
        self._order, self._levels = self._walk(roots)
        self._below: dict[int, tuple[int, int]] = {}
        for node in reversed(self._order):
            under = [(child, self._below[child]) for child in self.children(node)]
            number = sum(1 + below for _, (below, _) in under)
            self._below[node] = number, sum(nodes[child].tokens + held for child, (_, held) in under)

    def children(self, node: int) -> list[int]:
        """What hangs directly below a node, in the order of the map."""
        return self._children.get(node, [])

    def above(self, node: int) -> list[int]:
        """The nodes above one, the nearest first."""
        found: list[int] = []
        view = self._nodes.get(node)
        while view is not None and view.parent in self._nodes and view.parent not in (*found, node):
            found.append(view.parent)
            view = self._nodes[view.parent]
        return found

    def folded(self, node: int, fold: int, turned: Container[int]) -> bool:
        """Whether what is below a node is put away."""
        view = self._nodes[node]
        above = self._nodes.get(view.parent)
        closes = view.role in CLOSING[fold] and (above is None or above.role != view.role)
        return closes != (node in turned)

    def rows(self, fold: int, turned: Iterable[int] = (), query: str = "") -> list[Row]:
        """The rows to show. `fold`: place in FOLDS; `turned`: nodes that somebody folded or unfolded against it. With a
        `query` only nodes whose words have it, with what is above them, and nothing is folded."""
        wanted, others = query.lower().strip(), set(turned)
        matching = {node for node in self._order if wanted in row_words(self._nodes[node]).lower()} if wanted else None
        kept = {up for node in matching for up in (node, *self.above(node))} if matching is not None else None
        rows: list[Row] = []
        hidden: set[int] = set()
        for node in self._order:
            view = self._nodes[node]
            inside = view.parent in hidden
            folded = matching is None and self.folded(node, fold, others)
            if inside or folded:
                hidden.add(node)
            if inside or (kept is not None and node not in kept):
                continue
            level, straight = self._levels[node]
            below, held = self._below[node]
            rows.append(Row(view, level, straight, below, held, folded and below > 0,
                            matching is None or node in matching))  # fmt: skip
        return rows

    def _walk(self, roots: list[int]) -> tuple[list[int], dict[int, tuple[int, bool]]]:
        """Every node once, down the tree, with its level."""
        order: list[int] = []
        levels: dict[int, tuple[int, bool]] = {}
        for root in (*roots, *self._nodes):
            waiting = [] if root in levels else [(root, 0, False)]
            while waiting:
                node, level, straight = waiting.pop()
                if node in levels:
                    continue
                order.append(node)
                levels[node] = level, straight
                below = self.children(node)
                alone = len(below) == 1
                waiting += [(child, level + (not alone), alone) for child in reversed(below)]
        self._drop_backward(levels, order)
        return order, levels

    def _drop_backward(self, levels: Mapping[int, object], order: list[int]) -> None:
        """Forget links of a ring that lead back up, so that sums end."""
        place = {node: number for number, node in enumerate(order)}
        for node in list(self._children):
            self._children[node] = [child for child in self._children[node] if place[child] > place[node]]


def role_word(view: NodeView) -> str:
    """anchor, shared, history, output (no prompt repeated it yet), superseded (later prompts passed it by), unowned."""
    return PART_WORDS.get(view.part) or ("history" if view.role == "private" else view.role)


def row_words(view: NodeView) -> str:
    """Role, owners, session and number of a node, which is what a filter looks in."""
    agents = "everybody" if view.agents == ("*",) else ", ".join(view.agents)
    return " ".join(word for word in (role_word(view), agents, view.session, f"#{view.node}") if word)


def below_words(row: Row) -> str:
    """'+5 below, 1.2k tok' of a folded row, else nothing."""
    return f"+{row.below:,} below, {short(row.below_tokens)} tok" if row.folded else ""
