"""What outlives an engine process: told again to the next one, which knows nothing of it."""

from __future__ import annotations

from radixdeck.policies.events import ActionKind, ActionTaken, AnchorMeasured, EngineEvent
from radixdeck.policies.fold.engine import HALF_LIVES
from radixdeck.policies.residency import AgentStats, RunState

from .anchors import AnchorBook
from .clock import now_ns


def facts_for_new_engine(state: RunState, anchors: AnchorBook) -> list[EngineEvent]:
    """Anchors measured so far, and what the operator asked for agents. Orders on nodes are over: the nodes are gone."""
    now = now_ns()
    measured: list[EngineEvent] = [
        AnchorMeasured(t_ns=now, agent=agent, tokens=anchors.tokens(agent), rid="")
        for agent in state.agents
        if anchors.tokens(agent)
    ]
    return [*measured, *(action for stats in state.agents.values() for action in _held(stats, now))]


def _held(stats: AgentStats, now: int) -> list[ActionTaken]:
    held = [_again(stats, "pin", now)] if stats.pinned else []
    if stats.boost and stats.boost_until_ns > now:
        held.append(_again(stats, "boost", now, stats.boost, (stats.boost_until_ns - now) / 1e9))
    if stats.retain_tokens and stats.retain_until_ns > now:
        half_life_s = (stats.retain_until_ns - now) / 1e9 / HALF_LIVES  # so that it is over when it would have been
        held.append(_again(stats, "retain", now, stats.retain_tokens, half_life_s))
    return held


def _again(stats: AgentStats, kind: ActionKind, now: int, amount: float = 0.0, ttl_s: float = 0.0) -> ActionTaken:
    return ActionTaken(
        t_ns=now, id=f"again-{kind}-{stats.agent}", kind=kind, agent=stats.agent, amount=amount, ttl_s=ttl_s,
        by="daemon", why="the engine was restarted", result="told again",
    )  # fmt: skip
