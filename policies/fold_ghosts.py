"""Evictions that hurt: an evicted node stays as a ghost until a later request of its owner needs it again.

A ghost hurts when a lookup of its owner stops at or before the ghost's start although the prompt goes on into it. The
owner of an anchor or shared prefix is the agent; that of private history is the agent within one session.
"""

from __future__ import annotations

from .events import NodeEvicted, PrefixMatched
from .run_state import Ghost, RequestView, RunState

GHOSTS_PER_OWNER = 32
OWNERS = 256
_SEPARATOR = "\x1f"


def owner_key(agent: str, session: str = "") -> str:
    """Key of `RunState.ghosts`: the agent, or agent and session of private history."""
    return f"{agent}{_SEPARATOR}{session}" if session else agent


def haunt(state: RunState, event: NodeEvicted) -> None:
    """Leave a ghost with every owner of an evicted node."""
    ghost = Ghost(
        start=max(0, event.start),
        tokens=max(0, event.tokens),
        by_agent=event.by_agent,
        cause=event.cause,
        t_ns=event.t_ns,
        node=event.node,
        agents=event.agents,
    )
    session = event.session if event.role == "private" else ""
    for agent in event.agents:
        key = owner_key(agent, session)
        ghosts = state.ghosts.pop(key, [])
        state.ghosts[key] = [*ghosts[1 - GHOSTS_PER_OWNER :], ghost]
    while len(state.ghosts) > OWNERS:
        del state.ghosts[next(iter(state.ghosts))]


def settle_ghosts(state: RunState, event: PrefixMatched, request: RequestView) -> None:
    """Let a lookup meet the ghosts of its agent: those it needed hurt (once), those it did not miss are laid."""
    for key in (event.agent, owner_key(event.agent, event.session)):
        for ghost in state.ghosts.get(key, [])[:]:
            if ghost.start < _reach_tokens(event):
                _lay(state, ghost, key)
                if ghost.start >= event.cached_tokens and not event.warm:
                    _hurt(state, ghost, event, request)


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


def _hurt(state: RunState, ghost: Ghost, event: PrefixMatched, request: RequestView) -> None:
    tokens = min(ghost.tokens, _reach_tokens(event) - ghost.start)
    by = ghost.by_agent or ghost.cause
    stats = state.agents[event.agent]
    stats.evictions_that_hurt += 1
    stats.hurt_tokens += tokens
    stats.evicted_by[by] = stats.evicted_by.get(by, 0) + 1
    state.totals.evictions_that_hurt += 1
    state.totals.hurt_tokens += tokens
    request.hurt_by = by
