"""The facts about one node, as the observer says them: made of what the side table knows of it."""

from __future__ import annotations

import math

from ..events import Cause, HostNodeKept, NodeAdded, NodeEvicted, NodeOwned
from ..primitives import Score
from .ownership import Owned, Who


def private(owned: Owned) -> str:
    """The session a node belongs to alone, '' if it is common property."""
    return owned.session if owned.role == "private" else ""


def added(owned: Owned, rid: str, t_ns: int, *, from_host: bool) -> NodeAdded:
    """It is on the device. Of several owners another fact tells."""
    return NodeAdded(
        t_ns=t_ns, node=owned.node, parent=owned.parent, start=owned.start, tokens=owned.tokens,
        agent=owned.agents[0] if len(owned.agents) == 1 else "", session=private(owned), role=owned.role, rid=rid,
        part=owned.part, from_host=from_host,
    )  # fmt: skip


def kept(owned: Owned, had_tokens: int, t_ns: int) -> HostNodeKept:
    """It lies on the host only, where it had so many tokens before."""
    return HostNodeKept(
        t_ns=t_ns, node=owned.node, parent=owned.parent, start=owned.start, tokens=owned.tokens, agents=owned.agents,
        role=owned.role, session=private(owned), part=owned.part, had_tokens=had_tokens,
    )  # fmt: skip


def evicted(
    owned: Owned, score: Score, who: Who, t_ns: int, *, cause: Cause, instead: int, instead_agent: str, to_host: bool
) -> NodeEvicted:
    """It left the device, for `who`, with the score it had then. `instead`: the node that plain LRU would have taken,
    NO_NODE if that is this one. A policy may score in NumPy's numbers, which no encoder knows."""
    return NodeEvicted(
        t_ns=t_ns, node=owned.node, tokens=owned.tokens, start=owned.start, agents=owned.agents, role=owned.role,
        session=private(owned), cause=cause, by_rid=who.rid, by_agent=who.agent, score=float(score.key),
        parts={name: float(part) for name, part in score.parts.items() if math.isfinite(part)},
        idle_s=max(0.0, (t_ns - owned.used_ns) / 1e9), instead=instead, instead_agent=instead_agent, to_host=to_host,
        part=owned.part,
    )  # fmt: skip


def whose(owned: Owned, t_ns: int) -> NodeOwned:
    """Its owners now."""
    return NodeOwned(
        t_ns=t_ns, node=owned.node, agents=owned.agents, role=owned.role, session=private(owned), part=owned.part
    )
