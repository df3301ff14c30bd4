"""What a what-if found."""

from __future__ import annotations

import msgspec

from .recorded import RecordedFailure, Tuned
from .whatif_change import Gone


class AgentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's requests, warm-ups left out. `recorded_tokens`: what the real engine served from its cache. What hurt
    is None of agents that the fold added up with others, because there were too many."""

    agent: str
    label: str = ""
    requests: int
    prompt_tokens: int
    cached_tokens: int
    recorded_tokens: int
    evictions_that_hurt: int | None
    hurt_tokens: int | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy would have done in a cache of `kv_tokens` (at the end; `kv_sizes`: each that it had while requests
    came, smallest first). Tokens unless named otherwise; warm-ups left out.

    `bound_tokens`: the most that any policy without prefetch could have served, see belady_bound; where the size
    changes under way, in the larger cache. `cached_by_request`: by the number of the request's PrefixMatched in the
    recording. `failures`: what a policy raised; LRU's order was used from there. `recorded_failures`: what broke in the
    real run, which the model does not follow. `incomplete`: requests that the recording does not hold whole;
    `dropped_events`: missing in it. `gone`: the first of the evictions for want of room, `gone_cut`: there were more.
    `unknown_tunables`: that the recording sets and this version does not take; the policy ran with its default.

    `too_long`: requests whose prompt is longer than the cache, which the engine would refuse: with any, hits say
    nothing. `over_tokens`: the most that was in use beyond what there is; the engine would have made requests wait.
    """

    policy: str
    kv_tokens: int
    requests: int
    prompt_tokens: int
    cached_tokens: int
    recorded_tokens: int
    bound_tokens: int
    warm_ups: int
    evictions: int
    evicted_tokens: int
    evictions_that_hurt: int
    hurt_tokens: int
    agents: list[AgentOutcome]
    cached_by_request: dict[int, int]
    failures: list[str]
    incomplete: int
    dropped_events: int
    took_s: float
    gone: list[Gone] = []
    gone_cut: bool = False
    too_long: int = 0
    over_tokens: int = 0
    kv_sizes: list[int] = []
    recorded_failures: list[RecordedFailure] = []
    unknown_tunables: list[Tuned] = []
