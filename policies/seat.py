"""A policy's seat in the host: whether it is on, whether it failed, and what its calls cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from .parameters import Tunable
from .primitives import BasePolicy, Policy

SAMPLE_EVERY = 64
"""One call in so many is timed, so that timing costs next to nothing."""

Answer = TypeVar("Answer")


class PolicyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said about one policy. `observe_us`, `score_us`: mean cost of a call, microseconds, sampled.
    `decisions`: evictions it ordered and actions it had carried out. `failed`: the error, while it is off for one."""

    name: str
    doc: str
    slot: str
    enabled: bool
    failed: str = ""
    declares: tuple[Tunable, ...] = ()
    values: dict[str, float] = {}
    observe_us: float = 0.0
    score_us: float = 0.0
    decisions: int = 0


@dataclass
class Stopwatch:
    """Mean time of one call in every SAMPLE_EVERY, by an injected timer that counts seconds."""

    timer: Callable[[], float]
    calls: int = 0
    timed: int = 0
    total_s: float = 0.0

    def is_due(self) -> bool:
        """Whether the coming call is one of those to be timed. Asked once before every call."""
        self.calls += 1
        return not self.calls % SAMPLE_EVERY

    def time(self, function: Callable[[], Answer]) -> Answer:
        begun_s = self.timer()
        answer = function()
        self.total_s += self.timer() - begun_s
        self.timed += 1
        return answer

    def mean_us(self) -> float:
        return self.total_s / self.timed * 1e6 if self.timed else 0.0


@dataclass
class Seat:
    """One policy of the host, on or merely learning."""

    policy: Policy
    observing: Stopwatch
    scoring: Stopwatch
    enabled: bool = False
    failed: str = ""
    decisions: int = 0
    values: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def learns(self) -> bool:
        """Whether it is to observe: it did not fail, is on or learns while it is off, and has something to learn."""
        wanted = self.enabled or self.policy.learns_while_off
        return wanted and not self.failed and type(self.policy).observe is not BasePolicy.observe

    def tune(self, name: str, value: float) -> None:
        """Set a tunable, now and for a fresh policy put in this seat. Raises TunableError."""
        self.policy.tunables.set(name, value)
        self.values[name] = value

    def replace(self, policy: Policy) -> None:
        """Put a fresh policy in place of one that failed or fell behind, with the tunables that were set."""
        for name, value in self.values.items():
            policy.tunables.set(name, value)
        self.policy, self.failed = policy, ""

    def facts(self) -> PolicyFacts:
        return PolicyFacts(
            name=self.name,
            doc=self.policy.doc,
            slot=self.policy.slot,
            enabled=self.enabled,
            failed=self.failed,
            declares=self.policy.declares,
            values=self.policy.tunables.as_dict(),
            observe_us=self.observing.mean_us(),
            score_us=self.scoring.mean_us(),
            decisions=self.decisions,
        )
