"""Evictions that hurt: an evicted node stays as a ghost until a later request of its owner needs it again.

A ghost hurts when a lookup of its owner stops at or before the ghost's start although the prompt goes on into it. The
owner of an anchor or shared prefix is the agent; that of private history is the agent within one session.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..events import NO_NODE, NodeEvicted, PrefixMatched, Role
from ..run_state import Ghost, Hurt, RequestView, RunState
from .trends import moment

GHOSTS_PER_OWNER = 32
OWNERS = 256
HURTS_KEPT = 300
_SEPARATOR = "\x1f"


def owner_key(agent: str, session: str = "") -> str:
    """Key of `RunState.ghosts`: the agent, or agent and session of private history."""
    return f"{agent}{_SEPARATOR}{session}" if session else agent


def haunt(state: RunState, event: NodeEvicted) -> None:
    """Leave a ghost with every owner of an evicted node."""
    for agent in event.agents:
        for ghost, session in _parts(state, event, agent):
            key = owner_key(agent, session)
            ghosts = state.ghosts.pop(key, [])
            state.ghosts[key] = [*ghosts[1 - GHOSTS_PER_OWNER :], ghost]
    while len(state.ghosts) > OWNERS:
        del state.ghosts[next(iter(state.ghosts))]


def _parts(state: RunState, event: NodeEvicted, agent: str) -> Iterator[tuple[Ghost, str]]:
    """What an owner lost: where a session's node began within the agent's anchor, because nobody else had come by since
    it was made, the anchor's part by itself, for every session of the agent may miss it."""
    start, tokens = max(0, event.start), max(0, event.tokens)
    if event.role != "private":
        yield _ghost(event, start, tokens, event.role), ""
        return
    stats = state.agents.get(agent)
    anchor = max(0, min(start + tokens, stats.anchor_tokens) - start) if stats else 0
    if anchor:
        yield _ghost(event, start, anchor, "anchor"), ""
    if tokens > anchor or not anchor:
        yield _ghost(event, start + anchor, tokens - anchor, event.role), event.session


def _ghost(event: NodeEvicted, start: int, tokens: int, role: Role) -> Ghost:
    return Ghost(
        start=start,
        tokens=tokens,
        by_agent=event.by_agent,
        cause=event.cause,
        t_ns=event.t_ns,
        node=event.node,
        agents=event.agents,
        by_rid=event.by_rid,
        role=role,
        session=event.session,
    )


def settle_ghosts(state: RunState, event: PrefixMatched, request: RequestView) -> None:
    """Let a lookup meet the ghosts of its agent: those it needed hurt (once), those it did not miss are laid."""
    reach = _reach_tokens(event)
    found = event.cached_tokens + event.host_tokens
    hurting: list[tuple[Ghost, int]] = []
    for key in (event.agent, owner_key(event.agent, event.session)):
        for ghost in state.ghosts.get(key, [])[:]:
            if ghost.start < reach:
                _lay(state, ghost, key)
                if ghost.start >= found and not event.warm:
                    _join(hurting, ghost, min(ghost.tokens, reach - ghost.start))
    for ghost, tokens in hurting:
        _hurt(state, ghost, event, request, tokens)


def _join(hurting: list[tuple[Ghost, int]], ghost: Ghost, tokens: int) -> None:
    """One more ghost that hurts; two parts of one node are one eviction."""
    for place, (other, before) in enumerate(hurting):
        if other.node == ghost.node != NO_NODE:
            hurting[place] = other, before + tokens
            return
    hurting.append((ghost, tokens))


def forget_session(state: RunState, session: str) -> None:
    """A session that is over needs nothing again."""
    for key in [key for key in state.ghosts if key.endswith(_SEPARATOR + session)]:
        del state.ghosts[key]


def _reach_tokens(event: PrefixMatched) -> int:
    """How far into the prompt a cached prefix could have been of use: as far as it repeats an earlier request."""
    return event.base_tokens if event.base_rid and not event.warm else event.prompt_tokens


def _lay(state: RunState, ghost: Ghost, key: str) -> None:
    """Take the ghost from all its owners; nodes have one id, so the same node is the same ghost."""
    session = key.partition(_SEPARATOR)[2]
    for owner in {key, *(owner_key(agent, session) for agent in ghost.agents)}:
        left = [other for other in state.ghosts.get(owner, []) if other.node != ghost.node]
        if left:
            state.ghosts[owner] = left
        else:
            state.ghosts.pop(owner, None)


def _hurt(state: RunState, ghost: Ghost, event: PrefixMatched, request: RequestView, tokens: int) -> None:
    by = ghost.by_agent or ghost.cause
    stats = state.agents[event.agent]
    stats.evictions_that_hurt += 1
    stats.hurt_tokens += tokens
    stats.evicted_by[by] = stats.evicted_by.get(by, 0) + 1
    state.totals.evictions_that_hurt += 1
    state.totals.hurt_tokens += tokens
    request.hurt_by = by
    stats.anchor_hurt += ghost.start < stats.anchor_tokens
    moment(state, event.agent, event.t_ns).hurt += 1
    _keep(state, ghost, event, tokens)


def _keep(state: RunState, ghost: Ghost, event: PrefixMatched, tokens: int) -> None:
    """Remember from the miss back to the request that it was for; that one may be forgotten before this is."""
    taker = state.requests.get(ghost.by_rid)
    hurt = Hurt(
        t_ns=event.t_ns,
        rid=event.rid,
        agent=event.agent,
        tokens=tokens,
        node=ghost.node,
        evicted_ns=ghost.t_ns,
        cause=ghost.cause,
        role=ghost.role,
        session=ghost.session,
        start=ghost.start,
        by_rid=ghost.by_rid,
        by_agent=ghost.by_agent,
        by_tokens=max(0, taker.prompt_tokens - taker.cached_tokens) if taker else 0,
    )
    state.hurts = [*state.hurts[1 - HURTS_KEPT :], hurt]
