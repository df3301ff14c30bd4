"""One policy on a live stream, through the modelled engine: what it would have served so far, and what goes next."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from radixdeck.policies.events import (
    ActionTaken,
    EngineEvent,
    Part,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    Role,
    TunableChanged,
)
from radixdeck.policies.host import FALLBACK, OPERATOR, PolicyHost
from radixdeck.policies.residency import RunState, fold
from radixdeck.policies.tree.sight import NAME as THIS_LAYER

from .always_on import BESIDE
from .delay_line import DelayLine, Fed
from .model_cache import CHUNK_TOKENS
from .model_engine import ModelEngine
from .recorded import OF_NODES

RECENT = 200
"""Requests that the recent hit rate is of."""


class SideSpec(NamedTuple):
    """A policy and the tunables it runs with, by policy; `held`: those (policy.name) that the stream does not change.
    `warms`: warm-ups of the stream are its own and are run again; `beside`: policies that order evictions too, and are
    on at the beginning."""

    policy: str
    tunables: Mapping[str, Mapping[str, float]] = {}
    held: frozenset[str] = frozenset()
    warms: bool = False
    beside: tuple[str, ...] = ()


class NextVictim(NamedTuple):
    """An idle leaf of the modelled cache that goes when room is needed."""

    role: Role
    agents: tuple[str, ...]
    session: str
    part: Part
    tokens: int
    idle_s: float
    score: float
    parts: dict[str, float]


class SideView(NamedTuple):
    """Tokens unless named otherwise. `recent_*`: of the last requests; `failed`: what its policy or model raised, if
    any; what is counted after that is wrong, so there are no rates."""

    policy: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    recent_prompt_tokens: int
    recent_cached_tokens: int
    evictions: int
    evictions_that_hurt: int
    hurt_tokens: int
    used_tokens: int
    victims: list[NextVictim]
    failed: str

    @property
    def hit_rate(self) -> float | None:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens and not self.failed else None

    @property
    def recent_hit_rate(self) -> float | None:
        known = self.recent_prompt_tokens and not self.failed
        return self.recent_cached_tokens / self.recent_prompt_tokens if known else None


class SideHost(PolicyHost):
    """A host in which no policy learns beside its own but those that order evictions too."""

    def __init__(self, spec: SideSpec) -> None:
        """Raises PolicyError or TunableError."""
        super().__init__([spec.policy, *spec.beside], {name: dict(values) for name, values in spec.tunables.items()})
        kept = {spec.policy, *BESIDE, OPERATOR, *FALLBACK.values()}
        self._seats = {name: seat for name, seat in self._seats.items() if name in kept}
        self._list_seats()

    def _tune(self, event: TunableChanged) -> None:
        """A policy that is left out gets no seat by being tuned."""
        if event.policy in self._seats:
            super()._tune(event)


class Side:
    """Fed what comes out of a DelayLine; warm-ups count for nothing. `inserted_tokens`: since it began; `failed`: see
    SideView, and for good: the sums stay wrong whatever comes."""

    def __init__(self, spec: SideSpec, kv_tokens: int, line: DelayLine, chunk_tokens: int = CHUNK_TOKENS) -> None:
        """Raises PolicyError or TunableError."""
        self.spec = spec
        self._host = SideHost(spec)
        refused = line.with_warm if spec.warms else line.lookups
        self._engine = ModelEngine(self._host, spec.policy, kv_tokens, self._told, chunk_tokens, refused)
        self._state = RunState()
        self.failed = ""
        self._recent: deque[tuple[int, int]] = deque()
        self._prompt = self._cached = self._requests = 0
        self._recent_prompt = self._recent_cached = 0
        self._base = (0, 0, 0)

    @property
    def inserted_tokens(self) -> int:
        return self._state.totals.inserted_tokens

    def feed(self, fed: Fed) -> None:
        """What the model says of itself (nodes, switches of its policy, failures) is not taken from the stream."""
        match fed.event:
            case PrefixMatched() as event:
                self._match(fed, event)
            case PrefixInserted() as event:
                self._engine.inserted(event, last=fed.last)
            case PolicySwitched(policy=name) as event if name in BESIDE:
                self._engine.heard(event)
            case PolicySwitched() | PolicyFailed():
                pass
            case event if isinstance(event, OF_NODES):
                pass
            case ActionTaken(kind="warm") if not self.spec.warms:
                pass
            case TunableChanged(policy=policy, name=name) if f"{policy}.{name}" in self.spec.held:
                pass
            case event if isinstance(event, EngineEvent):
                self._engine.heard(event)
            case _:
                pass

    def count_from_here(self) -> None:
        """Forget what was counted so far; the cache stays as it is."""
        totals = self._state.totals
        self._base = (totals.evictions, totals.evictions_that_hurt, totals.hurt_tokens)
        self._prompt = self._cached = self._requests = self._recent_prompt = self._recent_cached = 0
        self._recent.clear()

    def view(self, victims: int) -> SideView:
        """The counts now, and the next `victims` that would go."""
        totals = self._state.totals
        evictions, hurt, hurt_tokens = self._base
        return SideView(
            policy=self.spec.policy,
            requests=self._requests,
            prompt_tokens=self._prompt,
            cached_tokens=self._cached,
            recent_prompt_tokens=self._recent_prompt,
            recent_cached_tokens=self._recent_cached,
            evictions=totals.evictions - evictions,
            evictions_that_hurt=totals.evictions_that_hurt - hurt,
            hurt_tokens=totals.hurt_tokens - hurt_tokens,
            used_tokens=self._engine.used_tokens,
            victims=self._victims(victims),
            failed=self.failed,
        )

    def _match(self, fed: Fed, event: PrefixMatched) -> None:
        request = fed.request
        if request is None or (request.warm and not self.spec.warms):
            self._engine.passed_over(event)
            return
        self._engine.matched(fed.seq, event, request)
        cached = self._engine.cached_tokens.pop(fed.seq, 0)
        if not request.warm:
            self._count(request.prompt_tokens, cached)

    def _count(self, prompt: int, cached: int) -> None:
        self._requests += 1
        self._prompt += prompt
        self._cached += cached
        self._recent_prompt += prompt
        self._recent_cached += cached
        self._recent.append((prompt, cached))
        if len(self._recent) > RECENT:
            old_prompt, old_cached = self._recent.popleft()
            self._recent_prompt -= old_prompt
            self._recent_cached -= old_cached

    def _told(self, event: EngineEvent) -> None:
        if isinstance(event, PolicyFailed):
            whose = "the modelled cache" if event.policy == THIS_LAYER else event.policy
            self.failed = self.failed or f"{whose}: {event.call}: {event.error}"
        fold(self._state, event)

    def _victims(self, number: int) -> list[NextVictim]:
        now_s = self._host.now_ns / 1e9
        found: list[NextVictim] = []
        for node, subject, score in self._engine.upcoming(number):
            owned = self._engine.ownership.nodes.get(node)
            if owned is not None:
                idle_s = max(0.0, now_s - owned.used_ns / 1e9)
                found.append(
                    NextVictim(owned.role, owned.agents, subject.session, owned.part, owned.tokens, idle_s,
                               score.key, score.parts)
                )  # fmt: skip
        return found
