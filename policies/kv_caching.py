"""Agent-aware eviction: what is cached is worth the rate at which it is expected to be used next.

An agent's anchor, and a prefix that agents share, is used whenever any session dispatches the agent; one session's
history only when that session comes back to the same agent. While little is known, what is shared comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from .events import (
    AnswerGiven,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
)
from .guard import Guard
from .parameters import Tunable
from .primitives import Action, BasePolicy, Prediction, Score, Subject
from .reuse import Rates, ReuseModel
from .shares import Shares
from .transitions import ANSWER, TOOL
from .warmups import WarmUps

EVERYBODY = "*"
OUTSTANDING = 512


class KvCaching(BasePolicy):
    """Ranks by rate of reuse, learned per session; keeps anchors apart from histories; warms anchors between steps."""

    name: ClassVar[str] = "kv_caching"
    doc: ClassVar[str] = "Keeps what is expected to be used soonest: anchors by all sessions, histories by their own."
    slot: ClassVar[str] = "eviction"
    splits_anchors: ClassVar[bool] = True
    learns_while_off: ClassVar[bool] = True
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("turnover", 2.0, 0.1, 20.0, "x", "Horizon: discount of reuse, in turnovers of the cache"),
        Tunable("protect_dispatches", 50.0, 0.0, 1000.0, "dispatches", "Until then shared prefixes come first"),
        Tunable("warm_ups", 1.0, 0.0, 1.0, "", "Whether anchors are prefilled between steps"),
        Tunable("guard_margin", 0.03, 0.0, 1.0, "", "Share of prompt tokens lost against LRU at which LRU takes over"),
        Tunable("r_min", 0.3, 0.0, 1.0, "", "Predictability below which nothing is warmed"),
        Tunable("warm_gain", 2.0, 1.0, 100.0, "x", "How much more an anchor must be worth than what it displaces"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._model = ReuseModel()
        self._outstanding: dict[str, str] = {}
        self._tails_kept = Shares(prior=0.7)
        self._anchors_kept = Shares(prior=1.0)
        self._unowned_cached = Shares(prior=0.3)
        self._warm_ups = WarmUps()
        self._guard = Guard()

    # ---- observe -----------------------------------------------------------------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        now_s = event.t_ns / 1e9
        match event:
            case PrefixMatched():
                self._dispatched(event, now_s)
            case PrefixInserted(phase="finish"):
                self._model.responded(self._outstanding.pop(event.rid, ""), now_s)
            case ToolCalled() | AnswerGiven():
                finish = TOOL if isinstance(event, ToolCalled) else ANSWER
                self._model.finished_with(event.session, event.agent, finish)
            case SessionEnded():
                self._model.ended(event.session)
            case EngineStarted() | EngineLoadSampled():
                self._model.capacity_tokens = event.capacity_tokens
            case _:
                pass
        self._warm_ups.observe(event)
        self._guard.observe(event, self.tunables["guard_margin"])

    def _dispatched(self, event: PrefixMatched, now_s: float) -> None:
        if event.warm:
            return
        if not event.agent:
            self._unowned_cached.see("", event.cached_tokens / max(1, event.prompt_tokens))
            return
        self._model.turnover = self.tunables["turnover"]
        name = event.session or event.rid
        missed_tokens = max(0, event.prompt_tokens - event.cached_tokens)
        session = self._model.dispatched(name, event.agent, missed_tokens, now_s)
        slot = self._model.agents[event.agent]
        self._learn_repeats(event, session.prompt_tokens.get(slot))
        session.prompt_tokens[slot] = event.prompt_tokens
        self._outstanding[event.rid] = name
        if len(self._outstanding) > OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]

    def _learn_repeats(self, event: PrefixMatched, before_tokens: int | None) -> None:
        """How much of an agent's history its next prompt in the session repeats, and whether its first prompt in a
        session repeats the anchor: from the prompts themselves, whatever was cached."""
        if not event.base_rid or event.agent not in self._model.agents:
            return
        tail_tokens = (before_tokens or 0) - event.anchor_tokens
        if before_tokens is None and event.anchor_tokens:
            same = float(event.base_tokens >= 0.9 * event.anchor_tokens)
            self._anchors_kept.see(event.agent, same)
        elif tail_tokens > 0:
            kept = (event.base_tokens - event.anchor_tokens) / tail_tokens
            self._tails_kept.see(event.agent, min(1.0, max(0.0, kept)))

    # ---- score -------------------------------------------------------------------------------------------------------

    def score(self, subject: Subject, now_s: float) -> Score:
        if self._guard.resting:
            return Score(0.0, {"guard_dispatches": float(self._guard.resting)})
        rates = self._model.rates(now_s)
        if rates is None:
            return self._prior(subject)
        if subject.role == "private":
            return self._history(subject, rates)
        if subject.role == "unowned":
            key = self._unowned_cached[""] * self._model.beta_per_s
            return Score(key, {"rate_per_s": key})
        return self._shared(subject, rates)

    def _prior(self, subject: Subject) -> Score:
        protected = float(subject.role in ("anchor", "shared"))
        return Score(protected, {"protected": protected})

    def _shared(self, subject: Subject, rates: Rates) -> Score:
        """Anchors and shared prefixes: used by every dispatch of their agents."""
        rate = sum(self._anchor_rate(agent, rates) for agent in self._agents(subject))
        protected = self._protection()
        return Score(rate + protected, {"rate_per_s": rate, "protected": protected})

    def _agents(self, subject: Subject) -> Iterable[str]:
        return self._model.agents if subject.agents == (EVERYBODY,) else subject.agents

    def _anchor_rate(self, agent: str, rates: Rates) -> float:
        slot = self._model.agents.get(agent)
        if slot is None:
            return 0.0
        same = self._anchors_kept[agent]
        return float(rates.by_agent[slot]) * (same + (1.0 - same) / max(1, len(rates.rows)))

    def _protection(self) -> float:
        span = self.tunables["protect_dispatches"]
        return 10.0 * max(0.0, 1.0 - self._model.dispatches / span) if span else 0.0

    def _history(self, subject: Subject, rates: Rates) -> Score:
        """History of one session: used when the session comes back to one of its agents, as far as it is repeated."""
        row = rates.rows.get(subject.session)
        if row is None:
            return Score(0.0, {"closed": 1.0})
        rate = sum(self._tail_rate(agent, row, rates) for agent in self._agents(subject))
        return Score(rate, {"rate_per_s": rate, "alive": float(rates.alive[row])})

    def _tail_rate(self, agent: str, row: int, rates: Rates) -> float:
        slot = self._model.agents.get(agent)
        if slot is None:
            return 0.0
        return float(rates.by_session[row, slot]) * self._tails_kept[agent]

    # ---- predict and act ---------------------------------------------------------------------------------------------

    def predict(self, now_s: float) -> Prediction:
        rates = self._model.rates(now_s)
        if rates is None:
            return Prediction()
        slots = self._model.agents.items()
        return Prediction(
            next_agent={
                name: {agent: float(rates.next_agent[row, slot]) for agent, slot in slots}
                for name, row in rates.rows.items()
            },
            survival={agent: float(rates.survival[slot]) for agent, slot in slots},
            predictability=self._model.transitions.predictability(),
            dispatches=self._model.dispatches,
        )

    def act(self, now_s: float) -> list[Action]:
        rates = self._model.rates(now_s)
        if rates is None or self._guard.resting or not self.tunables["warm_ups"]:
            return []
        if self._model.transitions.predictability() < self.tunables["r_min"]:
            return []
        worth = {agent: self._anchor_rate(agent, rates) for agent in self._model.agents}
        return self._warm_ups.wanted(worth, self._model.dispatches, self.tunables["warm_gain"], now_s)
