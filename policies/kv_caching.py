"""Agent-aware eviction: what is cached is worth the rate at which it is expected to be used next.

An agent's anchor, and a prefix that agents share, is used whenever any session dispatches the agent; one session's
history only when that session comes back to the same agent, and only as far as the agent repeats it. While little is
known, what is shared comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from .events import (
    AnswerGiven,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NextAgentHinted,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
    TunableChanged,
)
from .parameters import Tunable
from .primitives import BasePolicy, Prediction, Score, Subject, Subjects
from .reuse.guard import Guard
from .reuse.model import ReuseModel
from .reuse.outlook import outlook
from .reuse.transitions import ANSWER, TOOL
from .reuse.worth import CLOSED, Worth
from .tags import tag_of

OUTSTANDING = 4096
"""Requests that are followed until they finish; what runs longer than so many others is taken for finished."""


class KvCaching(BasePolicy):
    """Ranks by rate of reuse, learned per session; keeps anchors apart from histories."""

    name: ClassVar[str] = "kv_caching"
    doc: ClassVar[str] = "Keeps what is expected to be used soonest: anchors by all sessions, histories by their own."
    slot: ClassVar[str] = "eviction"
    learns_while_off: ClassVar[bool] = True
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        PrefixMatched, PrefixInserted, ToolCalled, AnswerGiven, SessionEnded, NextAgentHinted, CacheFlushed,
        EngineStarted, EngineLoadSampled, TunableChanged, PolicySwitched,
    )  # fmt: skip
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("turnover", 2.0, 0.1, 20.0, "x", "Horizon: discount of reuse, in turnovers of the cache"),
        Tunable("protect_dispatches", 20.0, 0.0, 1000.0, "dispatches", "Until then shared prefixes come first"),
        Tunable("split_anchors", 1.0, 0.0, 1.0, "", "Whether the cache is cut where an anchor ends"),
        Tunable("trim_victims", 1.0, 0.0, 1.0, "", "Whether only as much of a node goes as room is needed for"),
        Tunable("protect_shared", 1.0, 0.0, 1.0, "", "Whether what is shared counts for all that share it"),
        Tunable("liveness", 1.0, 0.0, 1.0, "", "Whether idle sessions are taken to be less and less likely to go on"),
        Tunable("prediction", 1.0, 0.0, 1.0, "", "Whether it matters which agent follows which"),
        Tunable("supersession", 1.0, 0.0, 1.0, "", "Whether what a newer prompt did not repeat goes first"),
        Tunable("guard_margin", 0.02, 0.0, 1.0, "", "Lead in share of prompt tokens at which LRU takes over; 1: never"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._model = ReuseModel()
        self._outstanding: dict[int, str] = {}
        self._worth = Worth(self._model, self.tunables)
        self._guard = Guard()

    @property
    def splits_anchors(self) -> bool:
        return bool(self.tunables["split_anchors"])

    @property
    def trims_victims(self) -> bool:
        return self._is_on("trim_victims")

    # ---- observe -----------------------------------------------------------------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        # What happens several times per request is told apart by its very type: an isinstance of a struct is dearer.
        if type(event) is PrefixInserted:
            if event.phase == "finish":
                self._responded(event.rid, event.t_ns)
                self._model.histories.responded(event)
            self._guard.inserted(event)
        elif type(event) is PrefixMatched:
            self._dispatched(event, event.t_ns / 1e9)
            self._guard.shadow.whole_leaves = not self.trims_victims
            self._guard.matched(event, self.tunables["guard_margin"])
        elif type(event) is ToolCalled or type(event) is AnswerGiven:
            self._answered(event)
        else:
            self._heard(event)

    def _answered(self, event: ToolCalled | AnswerGiven) -> None:
        if isinstance(event, ToolCalled):
            self._model.finished_with(event.session, event.agent, TOOL)
            return
        if event.finish in ("abort", "error"):
            self._responded(event.rid, event.t_ns)  # SGLang tells of no finish where a prefill is given up
        self._model.finished_with(event.session, event.agent, ANSWER, closes=event.closes)

    def _responded(self, rid: str, t_ns: int) -> None:
        self._model.responded(self._outstanding.pop(tag_of(rid), ""), t_ns / 1e9)

    def _heard(self, event: EngineEvent) -> None:
        """What happens more seldom."""
        match event:
            case SessionEnded():
                self._model.ended(event.session, event.reason == "declared", event.t_ns / 1e9)
            case NextAgentHinted():
                self._model.hinted(event.session, event.agent)
            case EngineStarted() | EngineLoadSampled():
                self._model.turnover.capacity_tokens = event.capacity_tokens
            case TunableChanged(policy=self.name):
                self._model.refit()
            case PolicySwitched(policy=self.name, enabled=True):
                self._guard.begin()
            case _:
                pass
        self._guard.heard(event)

    def _dispatched(self, event: PrefixMatched, now_s: float) -> None:
        if event.warm or not event.agent:
            self._model.histories.passed(event)
            if not event.warm:
                self._worth.unowned_cached.see(event.cached_tokens / max(1, event.prompt_tokens))
            return
        model = self._model
        model.turnover.horizons = self.tunables["turnover"]
        model.predicts, model.watches_ends = self._is_on("prediction"), self._is_on("liveness")
        name, tag = event.session or event.rid, tag_of(event.rid)
        if (before := self._outstanding.pop(tag, None)) is not None:
            model.responded(before, now_s)  # the same id again: whatever came of the one before is over
        missed_tokens = max(0, event.prompt_tokens - event.cached_tokens)
        known = event.agent in model.agents
        session = model.dispatched(name, event.agent, missed_tokens, now_s)
        model.histories.dispatched(event, session, known)
        self._guard.names_hold = model.histories.names_hold.mean
        self._outstanding[tag] = name
        if len(self._outstanding) > OUTSTANDING:
            model.responded(self._outstanding.pop(next(iter(self._outstanding))), now_s)

    def catch_up(self) -> None:
        """See BasePolicy.catch_up."""
        self._model.catch_up()

    def _is_on(self, name: str) -> bool:
        return bool(self.tunables[name])

    # ---- score -------------------------------------------------------------------------------------------------------

    def score(self, subject: Subject, now_s: float) -> Score:
        if self._guard.resting:
            return Score(0.0, self.tells())
        if self._worth.is_closed(subject):
            return CLOSED  # whatever rates are: they take long to work out
        rates = self._model.rates(now_s)
        if rates is None:
            return self._prior(subject)
        return self._worth.score(subject, rates)

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """See Policy.scores: without their parts."""
        rates = None if self._guard.resting else self._model.rates(now_s)
        if rates is None:
            return [] if self._guard.resting else super().scores(subjects, now_s)
        return self._worth.keys(subjects, rates)

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        """See BasePolicy.nonzero: nothing is expected of the history of a session that is closed."""
        if self._guard.resting:
            return {}
        rates = self._model.rates(now_s)
        return None if rates is None else self._worth.nonzero(subjects, rates)

    def worthless(self, subject: Subject) -> bool:
        """See BasePolicy.worthless: the history of a session that is closed."""
        return self._guard.resting > 0 or self._worth.is_closed(subject)

    def _prior(self, subject: Subject) -> Score:
        protected = float(subject.role in ("anchor", "shared"))
        return Score(protected, {"protected": protected})

    # ---- predict -------------------------------------------------------------------------------------------------

    def predict(self, now_s: float) -> Prediction:
        return outlook(self._model, now_s)

    def tells(self) -> dict[str, float]:
        """See BasePolicy.tells: for how many more dispatches LRU's order is used at most, since it would have served
        more."""
        return {"guard_dispatches": float(self._guard.rests_at_most)} if self._guard.resting else {}
