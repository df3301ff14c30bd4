"""What if the cache had been of another size, or under another policy: a recording run through the modelled engine.

Requests keep their recorded times: that callers would have waited less, or longer, does not show here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from radixdeck.policies.events import (
    ActionTaken,
    AgentSeen,
    AnyEvent,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.observer import NAME as THIS_LAYER
from radixdeck.policies.residency import RunState, fold

from .bound import belady_bound
from .demand import Request
from .errors import WhatIfError
from .model_engine import ModelEngine
from .recorded import Recorded

__all__ = ["AgentOutcome", "Outcome", "Recorded", "what_if"]

EVERY = 256
"""Events between two reports of progress."""


class AgentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's requests, warm-ups left out. `recorded_tokens`: what the real engine served from its cache."""

    agent: str
    label: str = ""
    requests: int
    prompt_tokens: int
    cached_tokens: int
    recorded_tokens: int
    evictions_that_hurt: int
    hurt_tokens: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy would have done in a cache of `kv_tokens`. Tokens unless named otherwise; warm-ups left out.

    `bound_tokens`: the most that any policy without prefetch could have served, see belady_bound. `cached_by_request`:
    by the number of the request's PrefixMatched in the recording. `failures`: what a policy raised; LRU's order was
    used from there. `incomplete`: requests that the recording does not hold whole; `dropped_events`: missing in it.
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


def what_if(
    recorded: Recorded,
    policy: str,
    kv_tokens: int | None = None,
    *,
    progress: Callable[[float], None] = lambda _share: None,
    take: Callable[[EngineEvent], None] = lambda _event: None,
) -> Outcome:
    """Run a recording's requests through `policy` in a cache of `kv_tokens` (None: as large as the real one).

    Warm-ups of the recording are run again only under the policy that the recording began with; a policy is not asked
    for others here. `progress` is told the share done (0 to 1), `take` every event of the modelled engine. Raises
    WhatIfError for a size that makes no sense or events that cannot be followed, PolicyError for an unknown policy,
    SessionError if the recording turns out to be damaged.
    """
    begun_s = time.perf_counter()
    run = _Run(recorded, policy, _size(recorded, kv_tokens), take)
    session = recorded.session
    for count, (seq, event) in enumerate(recorded.events()):
        if count % EVERY == 0:
            progress((seq - session.first_seq) / (session.last_seq - session.first_seq + 1))
        run.feed(seq, event)
    return run.outcome(begun_s)


def _size(recorded: Recorded, kv_tokens: int | None) -> int:
    if kv_tokens is None and not recorded.capacity_tokens:
        raise WhatIfError(f"{recorded.session.path} does not say how large the cache was: give a size in tokens")
    size = recorded.capacity_tokens if kv_tokens is None else kv_tokens
    if size <= 0:
        raise WhatIfError(f"a cache of {size} tokens: give a size above 0")
    return size


class _Run:
    """One what-if under way."""

    def __init__(
        self,
        recorded: Recorded,
        policy: str,
        kv_tokens: int,
        take: Callable[[EngineEvent], None],
    ) -> None:
        self._recorded = recorded
        self._policy, self._kv_tokens = policy, kv_tokens
        self._take = take
        self._state = RunState()
        self._failures: list[str] = []
        self._broken = ""
        self._pieces: list[list[Request]] = [[]]
        self._finishes = {request.finish for request in recorded.requests.values()}
        host = PolicyHost([policy], recorded.tunables())
        refused = recorded.refused(warm_ups=self._warms)
        self._engine = ModelEngine(host, policy, kv_tokens, self._told, recorded.chunk_tokens, refused)

    def feed(self, seq: int, event: AnyEvent) -> None:
        """One recorded event. What the model says of itself (switches, failures) is not taken from the recording."""
        match event:
            case PrefixMatched():
                self._match(seq, event)
            case PrefixInserted():
                self._engine.inserted(event, last=seq in self._finishes)
            case AgentSeen():
                fold(self._state, event)
            case ActionTaken(kind="warm") if not self._warms:
                pass
            case PolicySwitched() | PolicyFailed():
                pass
            case _ if isinstance(event, EngineEvent):
                if isinstance(event, EngineStarted | CacheFlushed):
                    self._pieces.append([])
                self._engine.heard(event)
            case _:
                pass

    @property
    def _warms(self) -> bool:
        return self._policy == self._recorded.policy

    def _match(self, seq: int, event: PrefixMatched) -> None:
        request = self._recorded.requests.get(seq)
        if request is None or (request.warm and not self._warms):
            self._engine.passed_over(event)
            return
        if not request.warm:
            self._pieces[-1].append(request)
        self._engine.matched(seq, event, request)

    def _told(self, event: EngineEvent) -> None:
        if isinstance(event, PolicyFailed):
            said = f"{event.policy}: {event.call}: {event.error}"
            self._failures.append(said)
            self._broken = said if event.policy == THIS_LAYER else self._broken
        fold(self._state, event)
        self._take(event)

    def outcome(self, begun_s: float) -> Outcome:
        if self._broken:
            raise WhatIfError(f"{self._recorded.session.path}: the modelled cache could not follow it: {self._broken}")
        totals = self._state.totals
        bounds = [belady_bound(piece, self._kv_tokens, max(1, self._state.page_size)) for piece in self._pieces]
        return Outcome(
            policy=self._policy,
            kv_tokens=self._kv_tokens,
            requests=totals.requests,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            recorded_tokens=sum(request.cached_tokens for piece in self._pieces for request in piece),
            bound_tokens=sum(bound.hit_tokens for bound in bounds),
            warm_ups=totals.warmups,
            evictions=totals.evictions,
            evicted_tokens=totals.evicted_tokens,
            evictions_that_hurt=totals.evictions_that_hurt,
            hurt_tokens=totals.hurt_tokens,
            agents=self._agents(),
            cached_by_request=self._engine.cached_tokens,
            failures=self._failures,
            incomplete=self._recorded.incomplete,
            dropped_events=totals.dropped_events,
            took_s=time.perf_counter() - begun_s,
        )

    def _agents(self) -> list[AgentOutcome]:
        served: Counter[str] = Counter()
        for piece in self._pieces:
            for request in piece:
                served[request.agent] += request.cached_tokens
        return [
            AgentOutcome(
                agent=stats.agent,
                label=stats.label,
                requests=stats.dispatches,
                prompt_tokens=stats.prompt_tokens,
                cached_tokens=stats.cached_tokens,
                recorded_tokens=served[stats.agent],
                evictions_that_hurt=stats.evictions_that_hurt,
                hurt_tokens=stats.hurt_tokens,
            )
            for stats in sorted(self._state.agents.values(), key=lambda stats: (-stats.prompt_tokens, stats.agent))
            if stats.dispatches
        ]
