"""What an order to evict would take: the nodes that go with the one that was meant, and what stays because of a pin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from radixdeck.policies.events import NO_NODE
from radixdeck.policies.residency import NodeView, RunState

from .commands import Target
from .words import clip, tokens

AGENTS_NAMED = 6


class Eviction(NamedTuple):
    """Nodes that go, pinned ones that stay, and others that stay because they lie above something that does."""

    gone: list[NodeView]
    pinned: list[NodeView]
    above: list[NodeView]


def eviction(run: RunState, target: Target) -> Eviction:
    """What evicting the target would do by the tree as it is known now: a node goes with everything below it, except
    what is pinned there; an agent loses what it alone owns. A node under which anything is left stays."""
    wanted = _below(run, target.node) if target.node != NO_NODE else _owned(run, target.agent)
    single = target.node != NO_NODE
    pinned = {view.node: view for view in wanted if single and view.pinned and view.node != target.node}
    ids = {view.node for view in wanted}
    others = [view for view in run.nodes.values() if view.node not in ids]
    kept = {view.node for top in (*pinned.values(), *others) for view in _path(run, top)}
    return Eviction(
        [view for view in wanted if view.node not in kept],
        list(pinned.values()),
        [view for view in wanted if view.node in kept and view.node not in pinned],
    )


def eviction_words(run: RunState, target: Target) -> str:
    """The same in words."""
    found = eviction(run, target)
    held: dict[str, int] = {}
    for view in found.gone:
        for agent in view.agents or ("nobody",):
            held[agent] = held.get(agent, 0) + view.tokens
    ordered = sorted(held.items(), key=lambda item: -item[1])
    whose = [f"{clip(agent, 24)} {tokens(number)}" for agent, number in ordered[:AGENTS_NAMED]]
    whose += [f"{len(ordered) - AGENTS_NAMED} more agents"] if len(ordered) > AGENTS_NAMED else []
    total = tokens(sum(view.tokens for view in found.gone))
    words = ": ".join([f"{_nodes(len(found.gone))} of {total} would go", *([", ".join(whose)] if whose else [])]) + "."
    if found.pinned:
        words += f" {_nodes(len(found.pinned), 'pinned ')} below would stay."
    if found.above:
        words += f" {_nodes(len(found.above))} would stay above what stays."
    return words


def _nodes(number: int, kind: str = "") -> str:
    return f"{number:,} {kind}node{'' if number == 1 else 's'}"


def _owned(run: RunState, agent: str) -> list[NodeView]:
    return [view for view in run.nodes.values() if view.agents == (agent,)]


def _below(run: RunState, node: int) -> list[NodeView]:
    """The node and everything below it."""
    children: dict[int, list[NodeView]] = {}
    for view in run.nodes.values():
        children.setdefault(view.parent, []).append(view)
    found = {node: run.nodes[node]} if node in run.nodes else {}
    waiting = list(found)
    while waiting:
        # An odd stream may have made a ring; nothing is visited twice.
        below = [view for view in children.get(waiting.pop(), []) if view.node not in found]
        found |= {view.node: view for view in below}
        waiting += [view.node for view in below]
    return list(found.values())


def _path(run: RunState, view: NodeView | None) -> Iterator[NodeView]:
    """The node and what is above it."""
    seen: set[int] = set()
    while view is not None and view.node not in seen:
        seen.add(view.node)
        yield view
        view = run.nodes.get(view.parent)
