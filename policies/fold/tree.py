"""The part of the fold that follows the radix tree: which nodes are resident, whose they are, when they were used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..events import (
    NO_NODE,
    AnchorMeasured,
    CacheFlushed,
    Event,
    HostNodeKept,
    HostNodeLeft,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
)
from ..run_state import AgentStats, NodeView, RunState
from .ghosts import haunt

HOST_NODES = 10_000
"""So many nodes of the host tier are followed, the latest that were told of: each is some 180 bytes of every keyframe.
Those beyond are only counted."""


def stats_of(state: RunState, agent: str) -> AgentStats:
    """The agent's counters, begun on first sight. The agent '' stands for traffic without an identity."""
    stats = state.agents.get(agent)
    if stats is None:
        stats = state.agents[agent] = AgentStats(agent=agent)
    return stats


def anchor_overlap(view: NodeView, anchor_tokens: int) -> int:
    """How many tokens of the node lie within its owner's anchor; of an anchor of unknown length, all of an anchor."""
    if anchor_tokens <= 0:
        return view.tokens if view.role == "anchor" else 0
    return max(0, min(view.start + view.tokens, anchor_tokens) - view.start)


def _count(state: RunState, view: NodeView, sign: int) -> None:
    """Add the node to its owners' resident tokens (sign 1) or take it out (-1)."""
    for agent in view.agents:
        stats = stats_of(state, agent)
        stats.resident_tokens += sign * view.tokens
        stats.anchor_resident_tokens += sign * anchor_overlap(view, stats.anchor_tokens)


def _put(state: RunState, view: NodeView) -> None:
    _remove(state, view.node)
    state.nodes[view.node] = view
    _count(state, view, 1)


def _remove(state: RunState, node: int) -> NodeView | None:
    view = state.nodes.pop(node, None)
    if view is not None:
        _count(state, view, -1)
    return view


def clear_tree(state: RunState) -> None:
    """Nothing is resident any more."""
    state.nodes.clear()
    state.host.clear()
    state.host_beyond = state.host_beyond_tokens = 0
    state.ghosts.clear()
    for stats in state.agents.values():
        stats.resident_tokens = stats.anchor_resident_tokens = 0


def see_again(state: RunState) -> None:
    """The engine's observer is sound: it is a new one, or a flush mended it."""
    state.blind, state.blind_ns = "", 0


def touch_path(state: RunState, node: int, t_ns: int, hits: int) -> None:
    """Mark the node and its ancestors as used. A path must climb towards the root, or it is odd and left there."""
    view = state.nodes.get(node)
    while view is not None:
        view.last_use_ns = t_ns
        view.hits += hits
        above = state.nodes.get(view.parent)
        if above is not None and above.start >= view.start:
            state.totals.oddities += 1
            return
        view = above


def learn_anchor(state: RunState, agent: str, anchor_tokens: int) -> None:
    """Take a new anchor length, 0 if there is none any more; only a changed one costs a look at every node."""
    stats = stats_of(state, agent)
    if anchor_tokens < 0 or anchor_tokens == stats.anchor_tokens:
        return
    stats.anchor_tokens = anchor_tokens
    owned = (view for view in state.nodes.values() if agent in view.agents)
    stats.anchor_resident_tokens = sum(anchor_overlap(view, anchor_tokens) for view in owned)


def _added(state: RunState, event: NodeAdded) -> None:
    if state.host.pop(event.node, None) is None and event.from_host:
        _no_longer_beyond(state, event.tokens)
    orphan = event.start > 0 and event.parent not in state.nodes
    state.totals.oddities += orphan + (event.node in state.nodes)
    view = NodeView(
        node=event.node,
        parent=event.parent,
        start=max(0, event.start),
        tokens=max(0, event.tokens),
        agents=(event.agent,) if event.agent else (),
        role=event.role,
        session=event.session,
        last_use_ns=event.t_ns,
        part=event.part,
    )
    _put(state, view)


def _split(state: RunState, event: NodeSplit) -> None:
    lower = _remove(state, event.node)
    if lower is None or not 0 < event.upper_tokens < lower.tokens or event.upper in (event.node, NO_NODE):
        state.totals.oddities += 1
        if lower is not None:
            _put(state, lower)
        return
    upper = NodeView(
        node=event.upper,
        parent=lower.parent,
        start=lower.start,
        tokens=event.upper_tokens,
        agents=lower.agents,
        role=lower.role,
        session=lower.session,
        last_use_ns=lower.last_use_ns,
        hits=lower.hits,
        pinned=lower.pinned,
        part=lower.part,
    )
    lower.parent = event.upper
    lower.start += event.upper_tokens
    lower.tokens -= event.upper_tokens
    _put(state, upper)
    _put(state, lower)


def _owned(state: RunState, event: NodeOwned) -> None:
    view = _remove(state, event.node)
    if view is None:
        state.totals.oddities += 1
        return
    view.agents = tuple(dict.fromkeys(event.agents))
    view.role = event.role
    view.session = event.session
    view.part = event.part
    _put(state, view)


def _evicted(state: RunState, event: NodeEvicted) -> None:
    tokens = max(0, event.tokens)
    view = _remove(state, event.node)
    state.totals.oddities += view is None
    if event.to_host and view is not None:
        _keep_on_host(state, view)
    state.totals.evictions += 1
    state.totals.evicted_tokens += tokens
    for agent in dict.fromkeys(event.agents):
        stats = stats_of(state, agent)
        stats.evictions += 1
        stats.evicted_tokens += tokens
    taker = state.requests.get(event.by_rid)
    if taker is not None:
        taker.evicted_tokens += tokens
    haunt(state, event)


def _keep_on_host(state: RunState, view: NodeView) -> None:
    """It lies in host memory only. Engines that do not say how much fits there do not say what leaves it either."""
    if state.host_capacity_tokens <= 0:
        return
    state.host.pop(view.node, None)
    state.host[view.node] = view
    while len(state.host) > HOST_NODES:
        beyond = state.host.pop(next(iter(state.host)))
        state.host_beyond += 1
        state.host_beyond_tokens += beyond.tokens


def _no_longer_beyond(state: RunState, tokens: int) -> None:
    """A node was told of that lay there and is not followed, unless a gap in the stream hid how it got there."""
    if state.host_beyond:
        state.host_beyond -= 1
        state.host_beyond_tokens = max(0, state.host_beyond_tokens - max(0, tokens)) if state.host_beyond else 0


def _kept_on_host(state: RunState, event: HostNodeKept) -> None:
    known = state.host.get(event.node)
    if known is None and event.had_tokens > 0:
        _no_longer_beyond(state, event.had_tokens)
    view = NodeView(
        node=event.node,
        parent=event.parent,
        start=max(0, event.start),
        tokens=max(0, event.tokens),
        agents=tuple(dict.fromkeys(event.agents)),
        role=event.role,
        session=event.session,
        last_use_ns=known.last_use_ns if known is not None else 0,
        hits=known.hits if known is not None else 0,
        part=event.part,
    )
    state.totals.oddities += _remove(state, event.node) is not None
    _keep_on_host(state, view)


def _left_host(state: RunState, event: HostNodeLeft) -> None:
    if state.host.pop(event.node, None) is None:
        _no_longer_beyond(state, event.tokens)


def _flushed(state: RunState, event: CacheFlushed) -> None:
    clear_tree(state)
    see_again(state)


def _measured(state: RunState, event: AnchorMeasured) -> None:
    learn_anchor(state, event.agent, event.tokens)


HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    NodeAdded: _added,
    NodeSplit: _split,
    NodeOwned: _owned,
    NodeEvicted: _evicted,
    HostNodeKept: _kept_on_host,
    HostNodeLeft: _left_host,
    CacheFlushed: _flushed,
    AnchorMeasured: _measured,
}
