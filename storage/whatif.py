"""What if the cache had been of another size, or under another policy: a recording run through the modelled engine.

Requests keep their recorded times: that callers would have waited less, or longer, does not show here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from radixdeck.policies.events import (
    ActionTaken,
    AgentSeen,
    AnyEvent,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    TunableChanged,
)
from radixdeck.policies.host import FALLBACK, OPERATOR, PolicyHost
from radixdeck.policies.residency import RunState, fold
from radixdeck.policies.seat import EVICTION
from radixdeck.policies.tree.sight import NAME as THIS_LAYER

from .always_on import BESIDE
from .errors import WhatIfError
from .model_engine import ModelEngine
from .recorded import Recorded
from .whatif_agents import by_agent
from .whatif_change import Change, Gone, check, check_policy
from .whatif_outcome import AgentOutcome, Outcome
from .whatif_sizes import Piece, Size, best_tokens, check_known

__all__ = ["AS_IT_WAS", "AgentOutcome", "Change", "Gone", "Outcome", "Recorded", "what_if"]

AS_IT_WAS = ""
"""Instead of a policy's name: the one that the recording began with, switched as it was switched."""
MOST_GONE = 100_000
"""Evictions that are kept of a run."""

EVERY = 256
"""Events between two reports of progress."""


def what_if(
    recorded: Recorded,
    policy: str,
    kv_tokens: int | None = None,
    *,
    times: float = 1.0,
    change: Change | None = None,
    progress: Callable[[float], None] = lambda _share: None,
    take: Callable[[EngineEvent], None] = lambda _event: None,
) -> Outcome:
    """Run a recording's requests through `policy` in a cache of `kv_tokens`, or, if that is None, `times` as large as
    the real one, also where an engine that was started again had another size than before.

    `policy` may be AS_IT_WAS; `change`: what is otherwise from a moment on. `fairness`, which orders evictions beside
    the policy, is on where it was in the recording. Warm-ups of the recording are run again only under the policy that
    the recording began with; a policy is not asked for others here. `progress` is told the share done (0 to 1), `take`
    every event of the modelled engine. Raises WhatIfError for a size that makes no sense, a policy that has no part in
    the cache or events that cannot be followed, PolicyError for an unknown policy, TunableError for a tunable it does
    not have or a value out of bounds, SessionError if the recording turns out to be damaged.
    """
    begun_s = time.perf_counter()
    if policy != AS_IT_WAS:
        check_policy(policy)
    size = Size(kv_tokens, times)
    size.check()
    check_known(size, recorded)
    if change is not None and change.size != Size():
        check_known(change.size, recorded)
    run = _Run(recorded, policy, size, take, change)
    session = recorded.session
    for count, (seq, event) in enumerate(recorded.events()):
        if count % EVERY == 0:
            progress(max(0, seq - session.first_seq) / (recorded.last_seq - session.first_seq + 1))
        run.feed(seq, event)
    return run.outcome(begun_s)


class _Run:
    """One what-if under way."""

    def __init__(
        self,
        recorded: Recorded,
        policy: str,
        size: Size,
        take: Callable[[EngineEvent], None],
        change: Change | None,
    ) -> None:
        self._recorded = recorded
        self._change, self._seq, self._held = change, -1, frozenset[str]()
        self._gone: list[Gone] = []
        self._gone_cut = False
        self._policy, self._size, self._own_tokens = policy, size, recorded.first_tokens
        self._take = take
        self._state = RunState()
        self._failures: list[str] = []
        self._broken = ""
        self._too_long = 0
        self._pieces = [Piece(0, 1, recorded.chunk_tokens)]
        self._sizes: set[int] = set()
        self._finishes = {request.finish for request in recorded.requests.values()}
        ordering = policy or recorded.policy or FALLBACK[EVICTION]
        tunables, self._unknown = recorded.tunables()
        host = PolicyHost([ordering, *recorded.beside()], tunables)
        self._took_part = {ordering, OPERATOR, *recorded.beside()}
        if change is not None:
            check(change, host)
        self._host = host
        refused = recorded.refused(warm_ups=self._warms)
        self._engine = ModelEngine(host, policy, size.of(self._own_tokens), self._told, recorded.chunk_tokens, refused)

    def feed(self, seq: int, event: AnyEvent) -> None:
        """One recorded event."""
        self._seq = seq
        if self._change is not None and seq > self._change.after_seq:
            change, self._change = self._change, None
            self._begin_change(change, event.t_ns)
        if self._is_passed_over(event):
            return
        match event:
            case PrefixMatched():
                self._match(seq, event)
            case PrefixInserted():
                self._engine.inserted(event, last=seq in self._finishes)
            case AgentSeen():
                fold(self._state, event)
            case _ if isinstance(event, EngineEvent):
                if isinstance(event, EngineStarted | CacheFlushed):
                    self._begin_piece(event)
                self._engine.heard(event)
            case _:
                pass

    def _begin_piece(self, event: EngineStarted | CacheFlushed) -> None:
        """The cache is empty; of an engine that starts again it may have another size."""
        page_size = self._pieces[-1].page_size
        if isinstance(event, EngineStarted):
            self._own_tokens = event.capacity_tokens or self._own_tokens
            page_size = max(1, event.page_size)
            self._engine.resize(self._size.of(self._own_tokens))
        self._pieces.append(Piece(0, page_size, self._pieces[-1].chunk_tokens))

    def _is_passed_over(self, event: AnyEvent) -> bool:
        """What the model says of itself (switches, failures) is not taken from the recording, except for switches where
        the run goes as it was, and of policies that are no choice of the what-if's."""
        match event:
            case ActionTaken(kind="warm"):
                return not self._warms
            case PolicySwitched():
                return self._policy != AS_IT_WAS and event.policy not in BESIDE
            case TunableChanged():
                return f"{event.policy}.{event.name}" in self._held
            case _:
                return isinstance(event, PolicyFailed)

    @property
    def _warms(self) -> bool:
        return self._policy in (AS_IT_WAS, self._recorded.policy)

    def _begin_change(self, change: Change, t_ns: int) -> None:
        """The other policy, the other values, the other size; what the recording says of them later is passed over."""
        if change.policy:
            self._policy = change.policy
        if change.policy and self._host.slot_policy(EVICTION) != change.policy:
            self._engine.ordered(PolicySwitched(t_ns=t_ns, policy=change.policy, enabled=True, by="what if"))
        # A value that is set already is not set again: a policy may begin to learn anew when it is tuned.
        values = {facts.name: facts.values for facts in self._host.info()}
        for policy, name, value in change.tunables:
            if values[policy][name] != value:
                self._engine.ordered(TunableChanged(t_ns=t_ns, policy=policy, name=name, value=value, by="what if"))
        self._held = frozenset(f"{policy}.{name}" for policy, name, _ in change.tunables)
        if change.size != Size():
            self._size = change.size
            self._engine.resize(self._size.of(self._own_tokens))

    def _match(self, seq: int, event: PrefixMatched) -> None:
        request = self._recorded.requests.get(seq)
        if request is None or (request.warm and not self._warms):
            self._engine.passed_over(event)
            return
        if not request.warm:
            self._sizes.add(self._engine.kv_tokens)
            self._pieces[-1].met(request, self._engine.kv_tokens)
            self._too_long += request.prompt_tokens > self._engine.kv_tokens
        self._engine.matched(seq, event, request)

    def _told(self, event: EngineEvent) -> None:
        if isinstance(event, PolicyFailed):
            self._failed(event)
        elif isinstance(event, PolicySwitched) and event.enabled:
            self._took_part.add(event.policy)
        elif isinstance(event, NodeEvicted) and event.cause == "allocation":
            self._went(event)
        fold(self._state, event)
        self._take(event)

    def _went(self, event: NodeEvicted) -> None:
        if len(self._gone) >= MOST_GONE:
            self._gone_cut = True
            return
        held = (event.start, event.tokens, event.role, event.agents, event.session)
        self._gone.append(Gone(self._seq, *held))

    def _failed(self, event: PolicyFailed) -> None:
        """One that only learned, while it was off, had no part in the numbers."""
        said = f"{event.policy}: {event.call}: {event.error}"
        if event.policy == THIS_LAYER:
            self._broken = said
        elif event.policy in self._took_part:
            self._failures.append(said)

    def outcome(self, begun_s: float) -> Outcome:
        if self._broken:
            raise WhatIfError(f"{self._recorded.session.path}: the modelled cache could not follow it: {self._broken}")
        totals = self._state.totals
        return Outcome(
            policy=self._policy,
            kv_tokens=self._engine.kv_tokens,
            kv_sizes=sorted(self._sizes),
            requests=totals.requests,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            recorded_tokens=sum(request.cached_tokens for piece in self._pieces for request in piece.requests),
            bound_tokens=best_tokens(self._pieces),
            warm_ups=totals.warmups,
            evictions=totals.evictions,
            evicted_tokens=totals.evicted_tokens,
            evictions_that_hurt=totals.evictions_that_hurt,
            hurt_tokens=totals.hurt_tokens,
            agents=by_agent(self._pieces, self._engine.cached_tokens, self._state),
            cached_by_request=self._engine.cached_tokens,
            failures=self._failures,
            incomplete=self._recorded.incomplete,
            dropped_events=totals.dropped_events,
            took_s=time.perf_counter() - begun_s,
            gone=self._gone,
            gone_cut=self._gone_cut,
            too_long=self._too_long,
            over_tokens=self._engine.over_tokens,
            recorded_failures=self._recorded.failures,
            unknown_tunables=[one for one in self._unknown if one.policy in self._took_part],
        )
