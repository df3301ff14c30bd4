"""The contract of a policy: observe, score, predict, act. The docstrings are the contract.

A policy is pure: no clock, no I/O, no randomness of its own. Time arrives inside events and as `now_s` (seconds, the
event clock). Two instances fed the same engine stream hold the same state, so the same class decides inside SGLang's
scheduler, in the daemon, in a replay and in a what-if.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from .events import NO_NODE, ActionKind, EngineEvent, Part, Role
from .parameters import Tunable, Tunables
from .resident import ResidentTokens


class Subject(msgspec.Struct, frozen=True):
    """What a score is asked for: a class of cache nodes that a policy values alike.

    All resident nodes with the same subject form one queue in the engine, ordered by last use; only the head of each
    queue competes, so choosing a victim costs O(subjects), never O(nodes). `agents` is sorted; more than eight sharers
    are written as ('*',). `session` is set for private history only, `part` for what is common and for the history of
    a live session. `node` is set when an operator singled one out, and always while a policy is on that
    `scores_nodes`.
    """

    role: Role
    agents: tuple[str, ...] = ()
    session: str = ""
    node: int = NO_NODE
    part: Part = ""


class Subjects(Protocol):
    """The subjects of all evictable nodes, for who need not look at each of them."""

    def __len__(self) -> int: ...

    def common(self) -> Iterable[Subject]:
        """Those that are not private history: nobody's too."""
        ...

    def of_session(self, session: str) -> Iterable[Subject]:
        """The private history of one session, '' excepted."""
        ...


PREEMPTED = "preempted by real work"
"""What became of a warm-up that a request cut short, as ActionTaken says it."""


class Score(msgspec.Struct, frozen=True):
    """An ordering key with its named parts kept: the lowest key is evicted first, ties by oldest use.

    `parts` sum to `key` or explain it in named numbers (seconds, tokens, probabilities: unit in the name).
    """

    key: float
    parts: dict[str, float] = {}


class Prediction(msgspec.Struct, frozen=True):
    """What comes next. `next_agent`: per live session, probability of each agent's next dispatch (sums to <= 1; the
    rest is the session ending). `survival`: per agent, probability of a dispatch within the policy's horizon.
    `predictability`: R = 1 - H(next | current) / H(next), 0 (no better than chance) to 1; `dispatches`: learned from.
    """

    next_agent: dict[str, dict[str, float]] = {}
    survival: dict[str, float] = {}
    predictability: float = 0.0
    dispatches: int = 0


class Action(msgspec.Struct, frozen=True):
    """A side effect a policy or the operator wants, off the critical path. `amount` and `ttl_s` as the kind needs:
    warm: prefill the agent's anchor, or with `session` what it will likely be asked there, of which the first `amount`
    tokens only, if that is not 0;
    boost: amount added to the score for ttl_s; retain: bias decaying with half-life ttl_s within a budget of `amount`
    tokens; pin: never evicted while anything else can be; quarantine: requests of the agent are refused."""

    kind: ActionKind
    agent: str = ""
    node: int = NO_NODE
    amount: float = 0.0
    ttl_s: float = 0.0
    why: str = ""
    session: str = ""


@runtime_checkable
class Policy(Protocol):
    """Four methods and seven facts. A policy that has nothing to say returns Score(0.0), Prediction() or []."""

    name: ClassVar[str]
    doc: ClassVar[str]
    declares: ClassVar[tuple[Tunable, ...]]
    slot: ClassVar[str]
    """At most one policy per non-empty slot is on: 'eviction' for the policy that orders the cache."""
    scores_nodes: ClassVar[bool]
    """Whether each subject it is asked about is one node, for a rule that no class of nodes can stand for. Choosing a
    victim then costs O(leaves)."""
    learns_while_off: ClassVar[bool]
    """Whether it observes while it is off, at the engine's cost, so that it is warm when switched on. Otherwise it
    starts afresh each time it is switched on."""
    tunables: Tunables

    @property
    def splits_anchors(self) -> bool:
        """Whether the cache should split nodes at the end of an agent's anchor for this policy."""
        ...

    def observe(self, event: EngineEvent) -> None:
        """Learn from one event. May change the policy's own state, nothing else. Called once per event, in stream
        order; must tolerate gaps. Budget: 50 microseconds."""
        ...

    def score(self, subject: Subject, now_s: float) -> Score:
        """Ordering key for a subject. Must not change state; may be called any number of times. Budget: 1 microsecond
        amortised. Must be finite."""
        ...

    def predict(self, now_s: float) -> Prediction:
        """Probabilities of what comes next. Must not change state."""
        ...

    def act(self, now_s: float) -> list[Action]:
        """Side effects wanted now. Called in the daemon only, whenever the last request in flight is through and about
        once a second while none is. May change the policy's own bookkeeping of what it asked for; an action may be
        refused, which arrives as ActionTaken."""
        ...


class BasePolicy:
    """Default answers for the four primitives, so that a policy writes only what it has to say. A policy of another
    make may leave `scores`, `nonzero` and `worthless` out."""

    name: ClassVar[str] = ""
    doc: ClassVar[str] = ""
    declares: ClassVar[tuple[Tunable, ...]] = ()
    slot: ClassVar[str] = ""
    scores_nodes: ClassVar[bool] = False
    learns_while_off: ClassVar[bool] = False
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = ()
    """The events that `observe` does anything about; empty: it is told of all."""

    def __init_subclass__(cls) -> None:
        """A class with a score of its own is not asked for what the class above it says of many."""
        super().__init_subclass__()
        if "score" in vars(cls):
            for name in {"scores", "nonzero", "worthless"} - vars(cls).keys():
                setattr(cls, name, getattr(BasePolicy, name))

    def __init__(self) -> None:
        self.tunables = Tunables(self.declares)

    @property
    def splits_anchors(self) -> bool:
        """See Policy.splits_anchors."""
        return False

    @property
    def trims_victims(self) -> bool:
        """Whether only the end of a node goes where that is room enough, rather than the whole node as in SGLang."""
        return False

    @property
    def wants_paths(self) -> bool:
        """Whether it asks for warm-ups of a session: the daemon then remembers what each agent was last asked."""
        return False

    def observe(self, event: EngineEvent) -> None:
        """See Policy.observe."""

    def score(self, subject: Subject, now_s: float) -> Score:
        """See Policy.score."""
        return Score(0.0)

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """The keys that `score` has for these subjects, to the last bit, without their parts: what an eviction asks for
        all subjects at once. Empty if all of them are 0. Worth writing where it is cheaper than asking one by one."""
        if type(self).score is BasePolicy.score:
            return []
        return [self.score(subject, now_s).key for subject in subjects]

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        """Of the keys that `scores` has for all these subjects, at least those that are not 0, by subject. None if that
        is no cheaper: then `scores` is asked. Worth writing where most of what is cached is worth nothing: keys are
        looked up by subject, which is dearer than a list of them all where few are 0."""
        return {} if type(self).score is BasePolicy.score else None

    def worthless(self, subject: Subject) -> bool:
        """Whether the subject's key is 0 for sure, at any time until something more is observed. While such are left,
        nobody asks for scores, so keys must not be below 0 where this is told of any. Worth writing where it is much
        cheaper than a score."""
        return type(self).score is BasePolicy.score

    def predict(self, now_s: float) -> Prediction:
        """See Policy.predict."""
        return Prediction()

    def reckon(self, resident: ResidentTokens) -> None:
        """What is resident of each agent, as it changes; to be read only. Told to a policy that is on where it may
        score."""

    def catch_up(self) -> None:
        """A moment when no answer waits, told to a policy that is on in the engine: to work out what scores will need.
        Nothing that it is asked may depend on whether it did."""

    def foresee(self, prediction: Prediction) -> None:
        """What the policies predict, told before each `act` to one that overrides this."""

    def act(self, now_s: float) -> list[Action]:
        """See Policy.act."""
        return []

    def tells(self) -> dict[str, float]:
        """Numbers that it wants shown beside its name: what it gained and lost, why it did not act. Unit in the
        name."""
        return {}


def wants(listener: object, listed: str, kind: type) -> bool:
    """Whether it is to be told of such facts by its list of that name: an empty one stands for all, and so does none,
    as a policy of another make may have."""
    kinds: tuple[type, ...] = getattr(listener, listed, ())
    return not kinds or kind in kinds
