"""A policy's seat in the host: whether it is on, whether it failed, and what its calls cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import msgspec

from .events import EngineEvent
from .operator import Operator
from .parameters import Tunable, TunableError
from .primitives import Action, BasePolicy, Policy, Prediction, Score, Subject, Subjects, wants

EVICTION = "eviction"
"""The slot of the policies that order evictions, of which one is on."""
SAMPLE_EVERY = 64
"""One call in so many is timed, so that timing costs next to nothing."""

Answer = TypeVar("Answer")


class PolicyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said about one policy. `observe_us`, `score_us`: mean cost of a call, microseconds, sampled.
    `decisions`: evictions it ordered and actions it had carried out. `failed`: the error, while it is off for one;
    `tells`: what it says of itself."""

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
    tells: dict[str, float] = {}


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

    def time_many(self, count: int, function: Callable[[], Answer]) -> Answer:
        """One call that stands for `count`: their number is what makes it worth timing."""
        begun_s = self.timer()
        answer = function()
        self.took(count, self.timer() - begun_s)
        return answer

    def took(self, count: int, total_s: float) -> None:
        """So many calls took that long together."""
        self.total_s += total_s
        self.calls += count
        self.timed += count

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

    def heeds(self, kind: type[EngineEvent]) -> bool:
        """Whether the policy does anything about such events."""
        return wants(self.policy, "heeds", kind)

    # ---- calls, some of them timed; what a policy raises goes to the host --------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        watch = self.observing
        watch.calls += 1
        if watch.calls % SAMPLE_EVERY:
            self.policy.observe(event)
        else:
            watch.time(lambda: self.policy.observe(event))

    def score(self, subject: Subject, now_s: float) -> Score:
        """Raises ValueError for a key that is not finite."""
        policy = self.policy
        due = self.scoring.is_due()
        score = self.scoring.time(lambda: policy.score(subject, now_s)) if due else policy.score(subject, now_s)
        if math.isfinite(score.key):
            return score
        raise ValueError(f"score of {subject} is {score.key}")

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """Keys of all subjects, or none if all are 0. Raises ValueError as `score` does, or if some are missing."""
        ask = getattr(self.policy, "scores", None)
        if ask is None:
            return [self.score(subject, now_s).key for subject in subjects]
        keys: list[float] = self.scoring.time_many(len(subjects), lambda: ask(subjects, now_s))
        if keys and len(keys) != len(subjects):
            raise ValueError(f"{len(keys)} scores of {len(subjects)} subjects")
        check_finite(subjects, keys)
        return keys

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        """Of the keys of all subjects at least those that are not 0; None if `scores` is to be asked. Raises ValueError
        as `score` does, TypeError for an answer that is no mapping."""
        begun_s = self.scoring.timer()
        ask = getattr(self.policy, "nonzero", None)
        if ask is None or (said := ask(subjects, now_s)) is None:
            return None
        if not isinstance(said, Mapping):
            raise TypeError(f"nonzero keys by subject are {said!r}")
        keys = cast("Mapping[Subject, float]", said)
        check_finite(keys.keys(), keys.values())
        self.scoring.took(max(1, len(keys)), self.scoring.timer() - begun_s)
        return keys

    def worthless(self, subject: Subject) -> bool:
        ask = getattr(self.policy, "worthless", None)
        return ask is not None and ask(subject) is True

    def act(self, now_s: float, predict: Callable[[float], Prediction]) -> list[Action]:
        """What the policy wants done, told before what all policies `predict` if it has something to say to it."""
        if isinstance(self.policy, BasePolicy) and type(self.policy).foresee is not BasePolicy.foresee:
            self.policy.foresee(predict(now_s))
        return list(self.policy.act(now_s))  # fails here if it is none

    def catch_up(self) -> None:
        if isinstance(self.policy, BasePolicy):
            self.policy.catch_up()

    def reckon(self, operator: Seat) -> None:
        """Let the policy read what the operator's counts in any case."""
        if isinstance(self.policy, BasePolicy) and isinstance(operator.policy, Operator):
            self.policy.reckon(operator.policy.resident)

    # ---- tunables and what the outside is told -----------------------------------------------------------------------

    def check_tune(self, name: str, value: float) -> None:
        """Raises TunableError for an unknown tunable or a value out of bounds."""
        declared = self.policy.tunables.declared
        if name not in declared:
            raise TunableError(f"{self.name} has no tunable {name!r}; known: {', '.join(sorted(declared)) or 'none'}")
        declared[name].check(value)

    def tune(self, name: str, value: float) -> None:
        """Set a tunable, now and for a fresh policy put in this seat. Raises TunableError."""
        self.policy.tunables.set(name, value)
        self.values[name] = value

    def replace(self, policy: Policy) -> None:
        """Put a fresh policy in place of one that failed or fell behind, with the tunables that were set."""
        for name, value in self.values.items():
            policy.tunables.set(name, value)
        self.policy, self.failed = policy, ""

    def renew(self, create: Callable[[str], Policy]) -> None:
        """Start afresh. Raises what `create` does."""
        self.replace(create(self.name))

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
            tells=self.policy.tells() if isinstance(self.policy, BasePolicy) and self.enabled else {},
        )


def check_finite(subjects: Iterable[Subject], keys: Collection[float]) -> None:
    """Raises ValueError for the first key that is not finite."""
    if not math.isfinite(sum(keys)):  # it may be although all of them are
        for subject, key in zip(subjects, keys, strict=True):
            if not math.isfinite(key):
                raise ValueError(f"score of {subject} is {key}")
