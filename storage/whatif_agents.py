"""A what-if by agent. Requests are counted by the agent they are of: the fold adds up those of too many agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from radixdeck.policies.fold.others import OTHERS
from radixdeck.policies.residency import RunState

from .whatif_outcome import AgentOutcome
from .whatif_sizes import Piece


@dataclass
class _Sums:
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    recorded_tokens: int = 0


def by_agent(pieces: Sequence[Piece], cached: Mapping[int, int], state: RunState) -> list[AgentOutcome]:
    """The one that asked most first. `cached`: tokens by the request's number; `state`: the modelled run, folded."""
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for piece in pieces:
        for request in piece.requests:
            one = sums[request.agent]
            one.requests += 1
            one.prompt_tokens += request.prompt_tokens
            one.cached_tokens += cached.get(request.start, 0)
            one.recorded_tokens += request.cached_tokens
    order = sorted(sums, key=lambda agent: (-sums[agent].prompt_tokens, agent))
    return [_outcome(agent, sums[agent], state) for agent in order]


def _outcome(agent: str, sums: _Sums, state: RunState) -> AgentOutcome:
    stats = state.agents.get(agent)
    added_up = stats is None or (OTHERS in state.agents and stats.dispatches != sums.requests)
    return AgentOutcome(
        agent=agent,
        label=stats.label if stats is not None else "",
        requests=sums.requests,
        prompt_tokens=sums.prompt_tokens,
        cached_tokens=sums.cached_tokens,
        recorded_tokens=sums.recorded_tokens,
        evictions_that_hurt=None if stats is None or added_up else stats.evictions_that_hurt,
        hurt_tokens=None if stats is None or added_up else stats.hurt_tokens,
    )
