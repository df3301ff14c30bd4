"""Agent-aware eviction: what is cached is worth the rate at which it is expected to be used next.

An agent's anchor, and a prefix that agents share, is used whenever any session dispatches the agent; one session's
history only when that session comes back to the same agent, and only as far as the agent repeats it. While little is
known, what is shared comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from .events import (
    ActionTaken,
    AnchorMeasured,
    AnswerGiven,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NextAgentHinted,
    NodeAdded,
    NodeEvicted,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
    TunableChanged,
)
from .guard import Guard
from .outlook import outlook
from .pairs import NOWHERE
from .parameters import Tunable
from .paths import Paths
from .primitives import Action, BasePolicy, Prediction, Score, Subject
from .rates import Rates
from .reuse import ReuseModel
from .tags import tag_of
from .transitions import ANSWER, TOOL
from .warmups import WarmUps
from .worth import Worth

OUTSTANDING = 512
LEAST_PATH_TOKENS = 64


class KvCaching(BasePolicy):
    """Ranks by rate of reuse, learned per session; keeps anchors apart from histories; warms anchors between steps."""

    name: ClassVar[str] = "kv_caching"
    doc: ClassVar[str] = "Keeps what is expected to be used soonest: anchors by all sessions, histories by their own."
    slot: ClassVar[str] = "eviction"
    learns_while_off: ClassVar[bool] = True
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        PrefixMatched, PrefixInserted, ToolCalled, AnswerGiven, SessionEnded, NextAgentHinted, NodeAdded, NodeEvicted,
        AnchorMeasured, CacheFlushed, ActionTaken, EngineStarted, EngineLoadSampled, TunableChanged, PolicySwitched,
    )  # fmt: skip
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("turnover", 2.0, 0.1, 20.0, "x", "Horizon: discount of reuse, in turnovers of the cache"),
        Tunable("protect_dispatches", 20.0, 0.0, 1000.0, "dispatches", "Until then shared prefixes come first"),
        Tunable("split_anchors", 1.0, 0.0, 1.0, "", "Whether the cache is cut where an anchor ends"),
        Tunable("protect_shared", 1.0, 0.0, 1.0, "", "Whether what is shared counts for all that share it"),
        Tunable("liveness", 1.0, 0.0, 1.0, "", "Whether idle sessions are taken to be less and less likely to go on"),
        Tunable("prediction", 1.0, 0.0, 1.0, "", "Whether it matters which agent follows which"),
        Tunable("supersession", 1.0, 0.0, 1.0, "", "Whether what a newer prompt did not repeat goes first"),
        Tunable("warm_ups", 1.0, 0.0, 1.0, "", "Whether anchors are prefilled between steps"),
        # Off: a prefill that has begun cannot be stopped before its chunk is done, and in pauses shorter than that real
        # requests wait for it. Measured on a CPU: mean TTFT +1 % with it, -21 % without.
        Tunable("path_prefetch", 0.0, 0.0, 1.0, "", "Whether the path of a session's next step is prefilled before it"),
        Tunable("prefetch_theta", 0.5, 0.0, 1.0, "", "Least probability of a step whose path is prefilled"),
        Tunable("prefetch_gain", 1.5, 1.0, 100.0, "x", "How much more a path must be worth than what it displaces"),
        Tunable("warm_while_decoding", 0.0, 0.0, 1.0, "", "Whether requests may run while something is prefilled"),
        Tunable(
            "guard_margin", 0.015, 0.0, 1.0, "", "Lead in share of prompt tokens at which LRU takes over; 1: never"
        ),
        Tunable("r_min", 0.3, 0.0, 1.0, "", "Predictability below which nothing is warmed"),
        Tunable("warm_gain", 2.0, 1.0, 100.0, "x", "How much more an anchor must be worth than what it displaces"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._model = ReuseModel()
        self._outstanding: dict[int, str] = {}
        self._worth = Worth(self._model, self.tunables)
        self._warm_ups = WarmUps()
        self._paths = Paths(self._model.histories.lengths)
        self._guard = Guard()

    @property
    def splits_anchors(self) -> bool:
        return bool(self.tunables["split_anchors"])

    # ---- observe -----------------------------------------------------------------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        # What happens several times per request is told apart by its very type: an isinstance of a struct is dearer.
        if type(event) is NodeAdded:
            if event.role == "anchor":
                self._warm_ups.observe(event)
        elif type(event) is NodeEvicted:
            if event.role == "private":
                self._path_changed(event)
            self._warm_ups.observe(event)
        elif type(event) is PrefixInserted:
            if event.phase == "finish":
                session = self._model.responded(self._outstanding.pop(tag_of(event.rid), ""), event.t_ns / 1e9)
                self._model.histories.responded(event, session)
                self._warm_ups.observe(event)
            self._guard.inserted(event)
        elif type(event) is PrefixMatched:
            self._dispatched(event, event.t_ns / 1e9)
            self._warm_ups.observe(event)
            self._guard.matched(event, self.tunables["guard_margin"])
        elif type(event) is ToolCalled or type(event) is AnswerGiven:
            finish = TOOL if type(event) is ToolCalled else ANSWER
            self._model.finished_with(event.session, event.agent, finish)
        else:
            self._heard(event)

    def _heard(self, event: EngineEvent) -> None:
        """What happens more seldom."""
        match event:
            case SessionEnded():
                self._ended(event, event.t_ns / 1e9)
            case NextAgentHinted():
                self._model.hinted(event.session, event.agent)
            case ActionTaken(kind="warm"):
                self._path_changed(event)
            case EngineStarted() | EngineLoadSampled():
                self._model.turnover.capacity_tokens = event.capacity_tokens
            case TunableChanged(policy=self.name):
                self._model.refit()
            case PolicySwitched(policy=self.name, enabled=True):
                self._guard.begin()
            case _:
                pass
        self._warm_ups.observe(event)
        self._guard.heard(event)

    def _dispatched(self, event: PrefixMatched, now_s: float) -> None:
        if event.warm:
            return
        if not event.agent:
            self._worth.unowned_cached.see(event.cached_tokens / max(1, event.prompt_tokens))
            return
        model = self._model
        model.turnover.horizons = self.tunables["turnover"]
        model.predicts, model.watches_ends = self._is_on("prediction"), self._is_on("liveness")
        name = event.session or event.rid
        missed_tokens = max(0, event.prompt_tokens - event.cached_tokens)
        known, before = event.agent in model.agents, model.standing.by_name.get(name)
        before_agent = before.agent if before is not None else NOWHERE
        session = model.dispatched(name, event.agent, missed_tokens, now_s)
        self._paths.dispatched(event, session, before_agent)
        model.histories.dispatched(event, session, known)
        self._outstanding[tag_of(event.rid)] = name
        if len(self._outstanding) > OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]

    def _ended(self, event: SessionEnded, now_s: float) -> None:
        session = self._model.standing.by_name.get(event.session)
        if session is not None:
            self._paths.ended(session)
        self._model.ended(event.session, event.reason == "declared", now_s)

    def _path_changed(self, event: NodeEvicted | ActionTaken) -> None:
        """History of a live session was evicted or warmed."""
        session = self._model.standing.by_name.get(event.session) if event.session else None
        if session is None:
            return
        for agent in event.agents if isinstance(event, NodeEvicted) else (event.agent,):
            slot = self._model.agents.get(agent)
            if slot is not None and isinstance(event, NodeEvicted):
                self._paths.evicted(event, session, slot)
            elif slot is not None and isinstance(event, ActionTaken):
                self._paths.warmed(event, session, slot)

    def _is_on(self, name: str) -> bool:
        return bool(self.tunables[name])

    # ---- score -------------------------------------------------------------------------------------------------------

    def score(self, subject: Subject, now_s: float) -> Score:
        if self._guard.resting:
            return Score(0.0, {"guard_dispatches": float(self._guard.resting)})
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

    def _prior(self, subject: Subject) -> Score:
        protected = float(subject.role in ("anchor", "shared"))
        return Score(protected, {"protected": protected})

    # ---- predict and act ---------------------------------------------------------------------------------------------

    def predict(self, now_s: float) -> Prediction:
        prediction = outlook(self._model, now_s)
        return msgspec.structs.replace(prediction, guard_dispatches=self._guard.resting)

    def act(self, now_s: float) -> list[Action]:
        rates, tunables = self._model.rates(now_s), self.tunables
        if rates is None or self._guard.resting:
            return []
        decoding = self._is_on("warm_while_decoding")
        if not self._warm_ups.may_ask(self._model.dispatches, now_s, while_decoding=decoding):
            return []
        action = self._path_wanted(rates) if tunables["path_prefetch"] else None
        if action is None and tunables["warm_ups"] and self._model.transitions.predictability() >= tunables["r_min"]:
            worth = {agent: self._worth.anchor_rate(agent, rates) for agent in self._model.agents}
            action = self._warm_ups.wanted(worth, tunables["warm_gain"])
        if action is None:
            return []
        self._warm_ups.asked(now_s)
        return [action]

    def _path_wanted(self, rates: Rates) -> Action | None:
        """The likeliest next step of an idle session whose path is not all cached, if it is likely enough."""
        best: tuple[float, str, str, int] | None = None
        theta, names = self.tunables["prefetch_theta"], list(self._model.agents.items())
        for session_name, session in self._model.standing.by_name.items():
            if session.running or rates.alive[session.place] < theta:
                continue
            row = self._model.next_agents(session) * rates.alive[session.place]
            for agent, slot in names:
                if row[slot] >= theta:
                    missing = self._paths.missing_tokens(session, slot)
                    missing += self._warm_ups.anchor_missing_tokens(agent) if missing else 0
                    rate = float(rates.by_session[session.place, slot])
                    if missing >= LEAST_PATH_TOKENS and (best is None or rate > best[0]):
                        best = rate, session_name, agent, missing
        if best is None:
            return None
        rate, session_name, agent, missing = best
        price = self._warm_ups.price(
            missing, self.tunables["prefetch_gain"], self._paths.used, self._paths.wasted + self._model.abandoned_paths
        )
        if rate <= price:
            return None
        why = f"comes next at {rate:.2g}/s, displaces {price:.2g}/s"
        return Action("warm", agent=agent, session=session_name, amount=float(missing), why=why)
