"""The host of the doorkeepers: asks those that are on about each request and settles what they say.

Beside PolicyHost, because what it knows is of the callers first: it runs in the daemon alone, and an engine that starts
again does not forget anybody's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from ..conflicts import rank
from ..doorkeeping import (
    PASS,
    Asked,
    BaseDoorkeeper,
    DoorFact,
    Doorkeeper,
    Heard,
    Hearer,
    Hedger,
    Ruled,
    RulesError,
    Second,
    Verdict,
)
from ..events import EngineEvent, EngineStarted, PolicyFailed, PolicySwitched, ToolMemoized, TunableChanged
from ..parameters import TunableError
from ..primitives import BasePolicy, Policy, wants
from ..registry import PolicyError, create
from .facts import DoorFacts

LONGEST_HOLD_S, HOLD_TUNABLE = 120.0, "longest_hold_s"
PASSES = BaseDoorkeeper.admit
"""The default. One that passes calls on to another object may not have it in its class."""
Answer = TypeVar("Answer")


class Ruling(msgspec.Struct, frozen=True):
    """What is done with a request. `by`: the policy whose word that is, '' if none had any; `limited_by`: the policy
    whose limit on what is written is the lowest; `order`: what each policy says of it, the higher rank first. A policy
    that says nothing of a request does not keep it back."""

    verdict: Verdict = PASS
    by: str = ""
    limited_by: str = ""
    order: tuple[tuple[float, ...], ...] = ()


UNTOUCHED = Ruling()


class DoorHost:
    """`on`: the doorkeepers that are asked, the one with the last word first; `broken`: why those let nobody in that
    failed; `rules`: what policies were told. `failed`: told when one raised."""

    def __init__(
        self,
        enabled: list[str],
        tunables: dict[str, dict[str, float]] | None = None,
        failed: Callable[[PolicyFailed], None] = lambda fact: None,
    ) -> None:
        self._facts = DoorFacts(lambda name, error, t_s: self._fail(name, "notice", error, t_s))
        self.on = []
        self._failed = failed
        self.broken: dict[str, str] = {}
        self._tunables = {policy: dict(values) for policy, values in (tunables or {}).items()}
        self.rules: dict[str, str] = {}
        self._engine: EngineStarted | None = None
        for name in enabled:
            self._switch(name, True)

    @property
    def on(self) -> list[tuple[str, Doorkeeper]]:
        return self._on

    @on.setter
    def on(self, on: list[tuple[str, Doorkeeper]]) -> None:
        """Who answers what is worked out here and not at each request: protocols are slow to look up."""
        self._on = on
        self._judging = [pair for pair in on if getattr(type(pair[1]), "admit", None) is not PASSES]
        self._hedging = [(name, keeper) for name, keeper in on if isinstance(keeper, Hedger)]
        self._hearing = [(name, keeper) for name, keeper in on if isinstance(keeper, Hearer)]
        self._learning: dict[type[EngineEvent], list[tuple[str, Policy]]] = {}
        self._facts.seat(on)

    # ---- requests ----------------------------------------------------------------------------------------------------

    @property
    def guarded(self) -> bool:
        """Whether anybody wants to be asked."""
        return bool(self.on or self.broken)

    @property
    def orders_sessions(self) -> bool:
        """Whether anybody's order tells sessions of one agent apart."""
        return any(keeper.orders_sessions for _, keeper in self.on)

    def judge(self, asked: Asked, now_s: float) -> Ruling:
        """What is done with a request now. The first that does not merely pass decides; a limit on what is written
        holds whoever set it; of priorities the first counts. Never raises."""
        self.settle()
        if self.broken:
            return self._closed()
        decided, by, limit, limited_by, priority, order = PASS, "", None, "", None, ()
        for name, keeper in self._judging:
            verdict = self._let_admit(name, keeper, asked, now_s)
            order = (*order, verdict.order)
            if verdict is PASS:
                continue
            if verdict.limit_tokens is not None and (limit is None or verdict.limit_tokens < limit):
                limit, limited_by = verdict.limit_tokens, name
            priority = verdict.priority if priority is None else priority
            if not by and verdict.kind != "pass":
                decided, by = verdict, name
        if self.broken:
            return self._closed()
        if not by and limit is None and priority is None and not any(order):
            return UNTOUCHED
        verdict = msgspec.structs.replace(decided, limit_tokens=limit, priority=priority)
        return Ruling(verdict, by, limited_by, order)

    def notice(self, fact: DoorFact) -> None:
        """Tell the doorkeepers that heed it what became of a request. Never raises."""
        self._facts.tell(fact)

    def notice_later(self, fact: DoorFact) -> bool:
        """The same before the next is told, or anybody judges, or by `settle`; whether nothing waited before."""
        return self._facts.tell_later(fact)

    def settle(self) -> None:
        """Tell what waits. Never raises."""
        self._facts.settle()

    @property
    def hears(self) -> bool:
        """Whether anybody learns from the tool results that requests bring."""
        return bool(self._hearing)

    def hear(self, heard: Heard) -> list[ToolMemoized]:
        """Let every hearer learn from tool results; returns what they found out. Never raises."""
        found: list[ToolMemoized] = []
        for name, hearer in self._hearing:
            try:
                found += hearer.hear(heard)
            except Exception as error:
                self._fail(name, "hear", error, heard.t_s)
        return found

    @property
    def hedges(self) -> bool:
        """Whether anybody wants late requests sent to a second engine."""
        return bool(self._hedging)

    def late_s(self, asked: Asked, now_s: float) -> tuple[str, float] | None:
        """Who has it sent to a second engine and after how many seconds; None: nobody ever, or it must not be. Never
        raises."""
        if asked.batch or asked.stateful:
            return None
        for name, hedger in self._hedging:
            late_s = self._let_hedge(name, "late_s", partial(hedger.late_s, asked), now_s)
            if late_s is not None:
                return name, late_s
        return None

    def hedge(self, name: str, asked: Asked, waited_s: float, now_s: float) -> Second:
        """Whether that policy has it sent to a second engine now. Never raises."""
        self.settle()
        hedger = dict(self._hedging).get(name)
        said = hedger and self._let_hedge(name, "hedge", partial(hedger.hedge, asked, waited_s), now_s)
        return said or Second(send=False, why=f"{name} is off")

    def saved_s(self, name: str, asked: Asked, after_s: float, now_s: float) -> float:
        """What that policy believes to have gained. Never raises."""
        hedger = dict(self._hedging).get(name)
        return (hedger and self._let_hedge(name, "saved_s", partial(hedger.saved_s, asked, after_s), now_s)) or 0.0

    def _let_hedge(self, name: str, call: str, ask: Callable[[], Answer], now_s: float) -> Answer | None:
        """What it answers, None if it raised."""
        try:
            return ask()
        except Exception as error:
            self._fail(name, call, error, now_s)
            return None

    def longest_hold_s(self, name: str) -> float:
        """How long this policy may hold one request."""
        keeper = dict(self.on).get(name)
        if isinstance(keeper, Policy) and HOLD_TUNABLE in keeper.tunables.declared:
            return keeper.tunables[HOLD_TUNABLE]
        return LONGEST_HOLD_S

    def _closed(self) -> Ruling:
        name, error = next(iter(self.broken.items()))
        why = f"policy {name} failed and lets nobody in until it is switched on or off again ({error})"
        return Ruling(Verdict(kind="refuse", status=503, why=why, retry_in_s=10.0), name)

    def _let_admit(self, name: str, keeper: Doorkeeper, asked: Asked, now_s: float) -> Verdict:
        try:
            return keeper.admit(asked, now_s)
        except Exception as error:
            self._fail(name, "admit", error, now_s)
            return PASS

    def _fail(self, name: str, call: str, error: Exception, now_s: float) -> None:
        text = f"{type(error).__name__}: {error}"
        self._lose(name, text)
        self._failed(PolicyFailed(t_ns=int(now_s * 1e9), policy=name, call=call, error=text))

    # ---- switching, tuning and rules ---------------------------------------------------------------------------------

    def follow(self, event: EngineEvent) -> bool:
        """Heed an event of the run; returns whether those who are held should be asked about again. Never raises."""
        self.settle()
        match event:
            case PolicySwitched():
                self._switch(event.policy, event.enabled)
            case TunableChanged():
                self._tune(event)
            case PolicyFailed():
                self._lose(event.policy, event.error)
            case _:
                if isinstance(event, EngineStarted):
                    self._engine = event
                return self._observe(event)
        return True

    def _observe(self, event: EngineEvent) -> bool:
        """Let those that heed such events learn from one; whether there are any."""
        kind = type(event)
        if (learning := self._learning.get(kind)) is None:
            learning = self._learning[kind] = list(self._who_learns(kind))
        for name, policy in learning:
            self._let_observe(name, policy, event)
        return bool(learning)

    def _who_learns(self, kind: type[EngineEvent]) -> Iterator[tuple[str, Policy]]:
        """Who is told of such events. A policy that keeps the default `observe` learns from none."""
        for name, keeper in self.on:
            if not isinstance(keeper, Policy) or type(keeper).observe is BasePolicy.observe:
                continue
            if wants(keeper, "heeds", kind):
                yield name, keeper

    def _let_observe(self, name: str, policy: Policy, event: EngineEvent) -> None:
        try:
            policy.observe(event)
        except Exception as error:
            self._fail(name, "observe", error, event.t_ns / 1e9)

    def obey(self, name: str, rules: str) -> None:
        """Give a policy its rules, now and whenever it is switched on. Raises RulesError if it does not take them, and
        PolicyError if there is no such policy."""
        self.settle()
        policy = dict(self.on).get(name) or create(name)
        if not isinstance(policy, Ruled):
            raise RulesError(f"policy {name} takes no rules")
        policy.obey(rules)
        self.rules[name] = rules

    def _switch(self, name: str, enabled: bool) -> None:
        self.broken.pop(name, None)
        if not enabled:
            self._put_out(name)
        elif not any(other == name for other, _ in self.on):
            with suppress(PolicyError):  # PolicyHost says so
                self._put_on(name, create(name))

    def _put_on(self, name: str, policy: Policy) -> None:
        if not isinstance(policy, Doorkeeper):
            return
        for tunable, value in self._tunables.get(name, {}).items():
            with suppress(TunableError):
                policy.tunables.set(tunable, value)
        if name in self.rules and isinstance(policy, Ruled):
            policy.obey(self.rules[name])
        self.on = sorted([*self.on, (name, policy)], key=lambda pair: rank(pair[0]))
        if self._engine is not None:
            self._let_observe(name, policy, self._engine)

    def _lose(self, name: str, error: str) -> None:
        """A policy failed, at the door or elsewhere."""
        keeper = dict(self.on).get(name)
        if keeper is not None and keeper.fails_closed:
            self.broken[name] = error
        self._put_out(name)

    def _put_out(self, name: str) -> None:
        self.on = [pair for pair in self.on if pair[0] != name]

    def _tune(self, event: TunableChanged) -> None:
        self._tunables.setdefault(event.policy, {})[event.name] = event.value
        keeper = dict(self.on).get(event.policy)
        if isinstance(keeper, Policy):
            with suppress(TunableError):
                keeper.tunables.set(event.name, event.value)
