"""One policy on one modelled stream in one size of cache: hits beside LRU and Belady's bound, and what warming brought.

The policies, ownership and the choice of victims are the code that runs inside SGLang; see model_engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from radixdeck.policies.events import (
    EngineEvent,
    EngineStarted,
    NodeEvicted,
    PolicyFailed,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import FALLBACK, OPERATOR, PolicyHost

from .model_engine import ModelEngine
from .prefetch import Prefetch, Prefetching, Warmed
from .streams import NO_REQUEST, Reference, Stream

__all__ = ["Evaluation", "ModelHost", "ModelRun", "Prefetch", "evaluate"]

Tunables = Mapping[str, float]
NONE: Mapping[str, Tunables] = {}


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens unless named otherwise; warm-ups are no requests. `lru_tokens`, `best_tokens`: what LRU and the best
    evictions without prefetch would have served. `failures`: what a policy raised; LRU's order was used from there."""

    stream: str
    policy: str
    kv_tokens: int
    requests: int
    prompt_tokens: int
    cached_tokens: int
    lru_tokens: int
    best_tokens: int
    evictions: int
    warmed: Warmed
    failures: tuple[str, ...]
    took_s: float

    @property
    def hit_rate(self) -> float:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def lru_hit_rate(self) -> float:
        return self.lru_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def best_hit_rate(self) -> float:
        return self.best_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def gap_closed(self) -> float | None:
        """(policy - LRU) / (best - LRU); None where there is nothing to win."""
        room = self.best_tokens - self.lru_tokens
        return (self.cached_tokens - self.lru_tokens) / room if room > 0 else None


class ModelHost(PolicyHost):
    """A host of one policy, and of those named `beside` it: others do not learn beside them, and splitting at anchors
    can be forbidden."""

    def __init__(
        self, policy: str, tunables: Tunables, *, splits_anchors: bool = True, beside: Mapping[str, Tunables] = NONE
    ) -> None:
        """Raises PolicyError or TunableError."""
        super().__init__([policy, *beside])
        kept = {policy, *beside, OPERATOR, *FALLBACK.values()}
        self._seats = {name: seat for name, seat in self._seats.items() if name in kept}
        self._list_seats()
        for tuned, values in {policy: tunables, **beside}.items():
            for name, value in values.items():
                self.check_tune(tuned, name, value)
                self._seats[tuned].tune(name, value)
        self._may_split = splits_anchors

    @property
    def splits_anchors(self) -> bool:
        return self._may_split and super().splits_anchors


def evaluate(
    stream: Stream,
    policy: str,
    kv_tokens: int,
    *,
    tunables: Tunables | None = None,
    prefetch: Prefetch | None = None,
    splits_anchors: bool = True,
    beside: Mapping[str, Tunables] = NONE,
    take: Callable[[EngineEvent], None] = lambda _event: None,
) -> Evaluation:
    """Run a stream through `policy` in a cache of `kv_tokens`. `prefetch`: how warm-ups are carried out; None: the
    policy is not asked for any. `splits_anchors`: False forbids it even to a policy that wants it. `beside`: other
    policies that are on, with their tunables. `take` is told every event of the modelled engine.

    Raises PolicyError for an unknown policy, TunableError for a tunable it does not have or a value out of bounds,
    ValueError for a size that is not above 0.
    """
    reference = stream.reference(kv_tokens)
    begun_s = time.perf_counter()
    host = ModelHost(policy, tunables or {}, splits_anchors=splits_anchors, beside=beside)
    run = ModelRun(stream, host, kv_tokens, prefetch, take)
    cached_tokens = run.run()
    return _evaluation(run, policy, reference, cached_tokens, time.perf_counter() - begun_s)


def _evaluation(run: ModelRun, policy: str, reference: Reference, cached_tokens: int, took_s: float) -> Evaluation:
    return Evaluation(
        stream=run.stream.name,
        policy=policy,
        kv_tokens=run.kv_tokens,
        requests=len(run.stream.requests),
        prompt_tokens=run.stream.prompt_tokens,
        cached_tokens=cached_tokens,
        lru_tokens=reference.lru.hit_tokens,
        best_tokens=reference.best.hit_tokens,
        evictions=run.evictions,
        warmed=run.prefetching.warmed if run.prefetching is not None else Warmed(),
        failures=tuple(run.failures),
        took_s=took_s,
    )


class ModelRun:
    """One stream through one host, once."""

    def __init__(
        self,
        stream: Stream,
        host: PolicyHost,
        kv_tokens: int,
        prefetch: Prefetch | None = None,
        take: Callable[[EngineEvent], None] = lambda _event: None,
    ) -> None:
        self.stream = stream
        self.kv_tokens = kv_tokens
        self.evictions = 0
        self.failures: list[str] = []
        self._take = take
        self.engine = ModelEngine(host, "", kv_tokens, self._told)
        self.prefetching = Prefetching(stream, host, self.engine, prefetch) if prefetch is not None else None

    def run(self) -> int:
        """Returns the tokens served from the cache."""
        engine, prefetching, requests = self.engine, self.prefetching, self.stream.requests
        engine.heard(
            EngineStarted(t_ns=1, pid=1, model="modelled", capacity_tokens=self.kv_tokens, page_size=1, policy="")
        )
        for event, number in self.stream.moments:
            if prefetching is not None:
                prefetching.until(event)
            if number == NO_REQUEST:
                engine.heard(event)
            elif isinstance(event, PrefixMatched):
                engine.matched(number, event, requests[number])
            elif isinstance(event, PrefixInserted):
                engine.inserted(event, last=event.phase == "finish")
            if prefetching is not None:
                prefetching.after(event, number)
        return sum(engine.cached_tokens[number] for number in range(len(requests)))

    def _told(self, event: EngineEvent) -> None:
        if isinstance(event, NodeEvicted):
            self.evictions += 1
        elif isinstance(event, PolicyFailed):
            self.failures.append(f"{event.policy}: {event.call}: {event.error}")
        self._take(event)
