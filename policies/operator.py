"""The operator as a policy: pins, boosts, retained budgets and quarantines go through the same score as every other
opinion, are recorded as ActionTaken, and can be undone.

An action on an agent bears on all its nodes, but a pin of an agent only on what its sessions share (its anchor and
shared prefixes): histories grow without bound and would fill the cache. A pin of a node holds whatever the node is.
What too many agents share to be named is everybody's: a pin or a retain of any agent bears on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from .events import (
    NO_NODE,
    ActionTaken,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
)
from .parameters import Tunable
from .primitives import BasePolicy, Score, Subject, Subjects
from .resident import ResidentTokens
from .tree.subjects import EVERYBODY

PIN_KEY = 1e9
"""Added for a pin: above anything a policy says, finite, so that a pinned node still goes when nothing else is left."""
PINNED_WITH_AGENT = ("anchor", "shared")
"""Roles of the nodes that a pin of their agent holds."""
MAX_BOOST = 1e6
"""A boost is held to this, so that scores stay finite and below a pin."""
SPENT = 1 / 64
"""A retain bias that has decayed below this share of its start is over."""

_NOTHING = Score(0.0)
Target = str | int


class Boost(msgspec.Struct, frozen=True):
    amount: float
    until_s: float


class Retain(msgspec.Struct, frozen=True):
    budget_tokens: float
    since_s: float
    half_life_s: float

    @property
    def until_s(self) -> float:
        """From then on less is left of it than SPENT."""
        return self.since_s - self.half_life_s * math.log2(SPENT)


class Operator(BasePolicy):
    """What the operator said, by agent name or node id, until undone, expired or decayed."""

    name: ClassVar[str] = "operator"
    doc: ClassVar[str] = "Manual pins, boosts, retained budgets and quarantines."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("retain_bias", 10.0, 0.0, 1000.0, "1/s", "What retain adds to the score at first"),
        Tunable("retain_tokens", 4096.0, 1.0, 1e9, "tokens", "Budget of a retain that names none"),
        Tunable("half_life_s", 300.0, 1.0, 1e6, "s", "Half-life of a retain, and life of a boost, that names none"),
    )

    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        ActionTaken, NodeAdded, NodeSplit, NodeOwned, NodeEvicted, CacheFlushed, EngineStarted,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.pins: set[Target] = set()
        self.boosts: dict[Target, Boost] = {}
        self.retains: dict[Target, Retain] = {}
        self.quarantined: set[str] = set()
        self.resident = ResidentTokens()
        self._spent_s = math.inf  # when the first of them has no effect any more

    @property
    def pins_agents(self) -> bool:
        return any(isinstance(target, str) for target in self.pins)

    @property
    def splits_anchors(self) -> bool:
        """An agent whose sessions share nothing yet has no node that a pin could bear on, unless its anchor is one."""
        return self.pins_agents

    def observe(self, event: EngineEvent) -> None:
        if type(event) is ActionTaken:
            if event.ok:
                self._take(event, event.t_ns / 1e9)
            return
        if event.t_ns > self._spent_s * 1e9:
            self._drop_spent(event.t_ns / 1e9)
        gone = self.resident.observe(event)
        if gone != NO_NODE and self._says_something:
            self._forget(gone)

    def _take(self, event: ActionTaken, now_s: float) -> None:
        target: Target = event.node if event.node != NO_NODE else event.agent
        if target == "":
            return
        match event.kind:
            case "pin":
                self.pins.add(target)
            case "unpin":
                self.pins.discard(target)
            case "boost":
                self._boost(target, event, now_s)
            case "retain":
                self._retain(target, event, now_s)
            case "quarantine":
                self.quarantined.add(event.agent)
            case "release":
                self.quarantined.discard(event.agent)
            case _:
                pass
        self._drop_spent(now_s)

    def _drop_spent(self, now_s: float) -> None:
        """What has run out is forgotten: as long as there is any, each subject is asked about by itself."""
        self.boosts = {target: boost for target, boost in self.boosts.items() if now_s < boost.until_s}
        self.retains = {target: retain for target, retain in self.retains.items() if now_s < retain.until_s}
        left = (*self.boosts.values(), *self.retains.values())
        self._spent_s = min((one.until_s for one in left), default=math.inf)

    def _boost(self, target: Target, event: ActionTaken, now_s: float) -> None:
        """A boost of amount 0 undoes the one before."""
        self.boosts.pop(target, None)
        if event.amount:
            amount = min(MAX_BOOST, max(-MAX_BOOST, event.amount))
            self.boosts[target] = Boost(amount, now_s + self._lasting_s(event))

    def _retain(self, target: Target, event: ActionTaken, now_s: float) -> None:
        """A negative budget undoes the retain before; 0 stands for the tunable's."""
        self.retains.pop(target, None)
        if event.amount >= 0:
            budget_tokens = event.amount or self.tunables["retain_tokens"]
            self.retains[target] = Retain(budget_tokens, now_s, self._lasting_s(event))

    def _lasting_s(self, event: ActionTaken) -> float:
        return event.ttl_s if event.ttl_s > 0 else self.tunables["half_life_s"]

    def _forget(self, node: int) -> None:
        """Ids are not used again, so what was said about a node that is gone is dropped."""
        self.pins.discard(node)
        self.boosts.pop(node, None)
        self.retains.pop(node, None)

    @property
    def _says_something(self) -> bool:
        return bool(self.pins or self.boosts or self.retains)

    def score(self, subject: Subject, now_s: float) -> Score:
        if not self._says_something:
            return _NOTHING
        targets: tuple[Target, ...] = (*subject.agents, subject.node) if subject.node != NO_NODE else subject.agents
        parts: dict[str, float] = {}
        if self._is_pinned(subject):
            parts["pin"] = PIN_KEY
        if boost := sum(self.boost_of(target, now_s) for target in targets):
            parts["boost"] = boost
        if subject.agents == EVERYBODY:
            targets += tuple(target for target in self.retains if isinstance(target, str))
        if retain := max((self._bias(target, now_s) for target in targets), default=0.0):
            parts["retain"] = retain
        return Score(sum(parts.values()), parts) if parts else _NOTHING

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        return super().scores(subjects, now_s) if self._says_something else []

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        return None if self._says_something else {}

    def worthless(self, subject: Subject) -> bool:
        return not self._says_something

    def _is_pinned(self, subject: Subject) -> bool:
        if subject.node != NO_NODE and subject.node in self.pins:
            return True
        if subject.role not in PINNED_WITH_AGENT:
            return False
        return any(agent in self.pins for agent in subject.agents) or (subject.agents == EVERYBODY and self.pins_agents)

    def boost_of(self, target: Target, now_s: float) -> float:
        """The boost in force for an agent or node, 0 if none."""
        boost = self.boosts.get(target)
        return boost.amount if boost and now_s < boost.until_s else 0.0

    def _bias(self, target: Target, now_s: float) -> float:
        retain = self.retains.get(target)
        if retain is None or self.resident.of(target) > retain.budget_tokens:
            return 0.0
        share = 2.0 ** (-max(0.0, now_s - retain.since_s) / retain.half_life_s)
        return self.tunables["retain_bias"] * share if share >= SPENT else 0.0
