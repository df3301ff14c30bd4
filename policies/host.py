"""The host: one loop over the policies. Those that are on observe, score and act, some learn while they are off, and a
policy that raises is switched off.

The same host decides inside SGLang's scheduler and follows as a twin in the daemon. Whatever changes its state arrives
as an observed event, so two hosts that observed the same engine stream agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from .conflicts import settle
from .events import (
    HOST,
    ActionTaken,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    TunableChanged,
)
from .parameters import TunableError
from .primitives import Action, Prediction, Score, Subject, Subjects
from .registry import BUILT_IN, PolicyError, create
from .seat import EVICTION, Answer, PolicyFacts, Seat, Stopwatch

__all__ = ["PolicyError", "PolicyFacts", "PolicyHost", "TunableError"]

OPERATOR = "operator"
FALLBACK: dict[str, str] = {EVICTION: "lru"}
"""Who holds a slot when nobody else does."""
LRU_SCORE = Score(0.0)
OBEYED = frozenset((PolicySwitched, TunableChanged, PolicyFailed, NodeEvicted, ActionTaken))
"""What the host itself heeds."""
CLOCK = frozenset((EngineStarted, PrefixMatched, PrefixInserted, EngineLoadSampled))
"""Facts that a what-if is told at their recorded times, whatever became of the tree."""


class PolicyHost:
    """Observe, score, predict and act over the enabled policies.

    A policy that is off observes only if it `learns_while_off`; any other starts afresh when it is switched on. A third
    party's policy is loaded when it is first switched on. `timer` counts seconds and only says what calls cost.

    `now_ns`: the event clock, which only CLOCK's facts move: scores are asked for at this time, so that they follow
    from the stream alone. Something is dispatched before anything is evicted, and the load is sampled every second.
    """

    def __init__(
        self,
        enabled: list[str],
        tunables: dict[str, dict[str, float]] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Raises PolicyError for an unknown name or two policies of one slot, TunableError for a bad value."""
        self._timer = timer
        self._seats: dict[str, Seat] = {}
        self._pending: list[EngineEvent] = []
        self._t_ns = self.now_ns = 0
        for name in sorted(BUILT_IN):
            self._seat(name)
        for name in dict.fromkeys([OPERATOR, *enabled]):
            self._enable_at_start(name)
        for slot, name in FALLBACK.items():
            self._seats[name].enabled = self.slot_policy(slot) in ("", name)
        for policy, values in (tunables or {}).items():
            for name, value in values.items():
                self._seat(policy).tune(name, value)
        self._list_seats()

    # ---- the four primitives -----------------------------------------------------------------------------------------

    def tick(self, event: EngineEvent) -> None:
        """Move the event clock alone: for a stream whose policies learn of `event` later."""
        if type(event) in CLOCK:
            self.now_ns = max(self.now_ns, event.t_ns)

    def observe(self, event: EngineEvent) -> list[EngineEvent]:
        """Let every policy learn from one event. Never raises. Returns what follows (a policy failed, a slot changed
        hands): it belongs into the engine stream behind the event; to observe it again changes nothing."""
        kind = type(event)
        if kind is EngineStarted and self._t_ns:
            self._begin_again()
        self._t_ns = max(self._t_ns, event.t_ns)
        self.now_ns = max(self.now_ns, event.t_ns) if kind in CLOCK else self.now_ns
        for seat in self._who_heeds(kind) if (heeding := self._heeding.get(kind)) is None else heeding:
            try:
                seat.observe(event)
            except Exception as error:
                self._fail(seat, "observe", error)
        if kind in OBEYED:
            self._obey(event)
        told, self._pending = self._pending, []
        return told

    def score(self, subject: Subject, now_s: float) -> Score:
        """Sum of the enabled policies' keys; parts are named `policy.part` if more than one had something to say. A
        policy that raises or is not finite fails and counts as LRU (0). Never raises; its PolicyFailed is returned by
        the next `observe`. The operator's pin adds 1e9, which nothing else reaches."""
        said: list[tuple[str, Score]] = []
        for seat in self._on:
            score = self._let(seat, "score", partial(seat.score, subject, now_s), LRU_SCORE)
            if score.key or score.parts:
                said.append((seat.name, score))
        if len(said) < 2:
            return said[0][1] if said else LRU_SCORE
        parts = {f"{name}.{part}": value for name, score in said for part, value in score.parts.items()}
        return Score(sum(score.key for _, score in said), parts)

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """The keys of `score` for many subjects at once. A policy that fails counts as LRU for all of them."""
        keys: list[float] = []
        for seat in self._on:
            said = self._let(seat, "score", partial(seat.scores, subjects, now_s), list[float]())
            keys = [key + more for key, more in zip(keys, said, strict=True)] if keys and said else keys or said
        return keys or [LRU_SCORE.key] * len(subjects)

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        """Of the keys of `scores` at least those that are not 0. None if `scores` is to be asked: one cannot say, or
        several have something to say."""
        told: Mapping[Subject, float] = {}
        for seat in self._on:
            said = self._let(seat, "score", partial(seat.nonzero, subjects, now_s), dict[Subject, float]())
            if said is None or (told and said):
                return None
            told = told or said
        return told

    def worthless(self, subject: Subject) -> bool:
        """Whether its key is 0 by all policies, for sure and without asking for it."""
        return all(self._let(seat, "score", partial(seat.worthless, subject), False) for seat in self._on)

    def predict(self, now_s: float) -> Prediction:
        """The prediction learned from the most dispatches, of a policy that is on if any of those predicts, else of
        one that only learns."""
        best = Prediction()
        for seats in (self._on, [seat for seat in self._seats.values() if not seat.failed and not seat.enabled]):
            asked = [self._let(seat, "predict", partial(seat.policy.predict, now_s), Prediction()) for seat in seats]
            best = max([best, *asked], key=lambda prediction: prediction.dispatches)
            if best.dispatches:
                break
        return best

    def act(self, now_s: float) -> list[tuple[str, Action]]:
        """What the enabled policies want done, as (policy, action), conflicts settled."""
        wanted: list[tuple[str, Action]] = []
        for seat in self._on:
            actions = self._let(seat, "act", partial(seat.act, now_s, self.predict), list[Action]())
            wanted += [(seat.name, action) for action in actions]
        return settle(wanted)

    def catch_up(self) -> list[EngineEvent]:
        """Nobody waits: policies that are on may work out what they will be asked for. Returns facts as `observe`."""
        for seat in self._on:
            self._let(seat, "catch_up", seat.catch_up, None)
        told, self._pending = self._pending, []
        return told

    # ---- switching and tuning ----------------------------------------------------------------------------------------

    @property
    def splits_anchors(self) -> bool:
        return any(seat.policy.splits_anchors for seat in self._on)

    def says(self, fact: str) -> bool:
        """Whether a policy that is on says so of itself. For facts of BasePolicy that one of another make may lack."""
        return any(getattr(seat.policy, fact, False) for seat in self._on)

    @property
    def scores_nodes(self) -> bool:
        return any(seat.policy.scores_nodes for seat in self._on)

    def slot_policy(self, slot: str) -> str:
        """Who holds a slot, '' if nobody."""
        return next((seat.name for seat in self._seats.values() if seat.enabled and seat.policy.slot == slot), "")

    def check_switch(self, name: str, enabled: bool) -> None:
        """Raises PolicyError if switching that way is not possible, in words."""
        seat = self._seat(name)
        if not enabled and name == OPERATOR:
            raise PolicyError("the operator cannot be switched off: undo single actions instead")
        if not enabled and name in FALLBACK.values() and self.slot_policy(seat.policy.slot) == name:
            raise PolicyError(f"{name} is the order that is left when no other is on: switch another one on instead")

    def check_tune(self, policy: str, name: str, value: float) -> None:
        """Raises PolicyError for an unknown policy, TunableError for an unknown tunable or a value out of bounds."""
        self._seat(policy).check_tune(name, value)

    def info(self) -> list[PolicyFacts]:
        return [seat.facts() for seat in self._seats.values()]

    def _seat(self, name: str) -> Seat:
        """The seat of a policy, made on first use. Raises PolicyError."""
        if name not in self._seats:
            self._seats[name] = Seat(create(name), Stopwatch(self._timer), Stopwatch(self._timer))
            self._list_seats()
        return self._seats[name]

    def _enable_at_start(self, name: str) -> None:
        seat = self._seat(name)
        holder = self.slot_policy(seat.policy.slot) if seat.policy.slot else ""
        if holder and holder != name:
            raise PolicyError(f"{holder} and {name} both want the slot {seat.policy.slot!r}: enable one of them")
        seat.enabled = True

    def _list_seats(self) -> None:
        """Keep the lists that every event and every score goes through."""
        self._on = [seat for seat in self._seats.values() if seat.enabled]
        self._ordering = self._seats.get(self.slot_policy("eviction"))
        for seat in self._on if OPERATOR in self._seats else ():
            seat.reckon(self._seats[OPERATOR])
        self._heeding: dict[type[EngineEvent], list[Seat]] = {}

    def _who_heeds(self, kind: type[EngineEvent]) -> list[Seat]:
        found = self._heeding[kind] = [seat for seat in self._seats.values() if seat.learns and seat.heeds(kind)]
        return found

    # ---- what observed events do to the host itself ------------------------------------------------------------------

    def _obey(self, event: EngineEvent) -> None:
        match event:
            case NodeEvicted() if event.cause == "allocation" and self._ordering is not None:
                self._ordering.decisions += 1
            case PolicySwitched():
                self._switch(event)
            case TunableChanged():
                self._tune(event)
            case PolicyFailed() if event.policy in self._seats:
                self._switch_off_failed(self._seats[event.policy], event.error)
            case ActionTaken(ok=True) if event.by in self._seats:
                self._seats[event.by].decisions += 1
            case _:
                pass

    def _begin_again(self) -> None:
        """An engine that starts again hosts fresh policies, so its twin does too; switches and tunables stay."""
        for seat in self._seats.values():
            self._let(seat, "load", partial(seat.renew, create), None)
        self._list_seats()

    def _switch(self, event: PolicySwitched) -> None:
        try:
            seat = self._seat(event.policy)
            if event.enabled and not (seat.enabled or seat.learns):
                seat.renew(create)
        except PolicyError as error:
            self._pending.append(PolicyFailed(t_ns=event.t_ns, policy=event.policy, call="load", error=str(error)))
            return
        if event.enabled:
            self._give_way(seat)
        if event.policy != OPERATOR:
            seat.enabled = event.enabled
        self._fill_slots()

    def _give_way(self, seat: Seat) -> None:
        """Switch off whoever else holds the slot of a policy that is being switched on."""
        for other in self._on:
            if other is not seat and other.policy.slot and other.policy.slot == seat.policy.slot:
                other.enabled = False
                self._say_switched(other.name, False, f"{seat.name} took the slot {seat.policy.slot!r}")

    def _fill_slots(self) -> None:
        for slot, name in FALLBACK.items():
            if not self.slot_policy(slot):
                self._seats[name].enabled = True
                self._say_switched(name, True, f"nobody else holds the slot {slot!r}")
        self._list_seats()

    def _say_switched(self, name: str, enabled: bool, why: str) -> None:
        self._pending.append(PolicySwitched(t_ns=self._t_ns, policy=name, enabled=enabled, by=HOST, why=why))

    def _tune(self, event: TunableChanged) -> None:
        with suppress(PolicyError, TunableError):
            self._seat(event.policy).tune(event.name, event.value)

    # ---- calls that may fail -----------------------------------------------------------------------------------------

    def _let(self, seat: Seat, call: str, does: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return does()
        except Exception as error:
            self._fail(seat, call, error)
            return otherwise

    def _fail(self, seat: Seat, call: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._pending.append(PolicyFailed(t_ns=self._t_ns, policy=seat.name, call=call, error=text))
        self._switch_off_failed(seat, text)

    def _switch_off_failed(self, seat: Seat, error: str) -> None:
        seat.failed = seat.failed or error
        seat.enabled = False
        self._fill_slots()
