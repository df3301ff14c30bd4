"""Agent-aware eviction: what is cached is worth the rate at which it is expected to be used next.

An agent's anchor, and a prefix that agents share, is used whenever any session dispatches the agent; one session's
history only when that session comes back to the same agent, and only as far as the agent repeats it. While little is
known, what is shared comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec

from .events import (
    ActionTaken,
    AnswerGiven,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NextAgentHinted,
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
from .shares import Share
from .subjects import EVERYBODY
from .tags import tag_of
from .transitions import ANSWER, TOOL
from .warmups import WarmUps

OUTSTANDING = 512
LEAST_PATH_TOKENS = 64
STALE = 0.05
"""What is left of the rate of a prefix that its agents' last dispatches passed by."""
SUPERSEDED = 0.02
"""What is left of the rate of a history that its agent's last prompt in the session did not repeat."""


class KvCaching(BasePolicy):
    """Ranks by rate of reuse, learned per session; keeps anchors apart from histories; warms anchors between steps."""

    name: ClassVar[str] = "kv_caching"
    doc: ClassVar[str] = "Keeps what is expected to be used soonest: anchors by all sessions, histories by their own."
    slot: ClassVar[str] = "eviction"
    learns_while_off: ClassVar[bool] = True
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
        self._unowned_cached = Share(0.3)
        self._warm_ups = WarmUps()
        self._paths = Paths(self._model.histories.lengths)
        self._guard = Guard()

    @property
    def splits_anchors(self) -> bool:
        return bool(self.tunables["split_anchors"])

    # ---- observe -----------------------------------------------------------------------------------------------------

    def observe(self, event: EngineEvent) -> None:
        now_s = event.t_ns / 1e9
        match event:
            case PrefixMatched():
                self._dispatched(event, now_s)
            case PrefixInserted(phase="finish"):
                session = self._model.responded(self._outstanding.pop(tag_of(event.rid), ""), now_s)
                self._model.histories.responded(event, session)
            case ToolCalled() | AnswerGiven():
                finish = TOOL if isinstance(event, ToolCalled) else ANSWER
                self._model.finished_with(event.session, event.agent, finish)
            case SessionEnded():
                self._ended(event, now_s)
            case NextAgentHinted():
                self._model.hinted(event.session, event.agent)
            case NodeEvicted(role="private") | ActionTaken(kind="warm"):
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
        self._guard.observe(event, self.tunables["guard_margin"])

    def _dispatched(self, event: PrefixMatched, now_s: float) -> None:
        if event.warm:
            return
        if not event.agent:
            self._unowned_cached.see(event.cached_tokens / max(1, event.prompt_tokens))
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
        if subject.role == "private":
            return self._history(subject, rates)
        if subject.role == "unowned":
            key = self._unowned_cached.mean * rates.beta_per_s
            return Score(key, {"rate_per_s": key})
        return self._shared(subject, rates)

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        """Histories, of which there are many, without the parts of their scores."""
        rates = None if self._guard.resting else self._model.rates(now_s)
        if rates is None:
            return [] if self._guard.resting else super().scores(subjects, now_s)
        sessions = self._model.standing.by_name
        keys: list[float] = []
        for subject in subjects:
            if subject.role != "private":
                keys.append(self.score(subject, now_s).key)
            else:
                session = sessions.get(subject.session)
                keys.append(0.0 if session is None else self._reuse(subject, session.place, rates)[0])
        return keys

    def _prior(self, subject: Subject) -> Score:
        protected = float(subject.role in ("anchor", "shared"))
        return Score(protected, {"protected": protected})

    def _shared(self, subject: Subject, rates: Rates) -> Score:
        """Anchors and shared prefixes: used by every dispatch of their agents."""
        rate = 0.0
        for agent in self._agents(subject):
            rate += self._anchor_rate(agent, rates)
        protected = self._protection()
        if self._is_superseded(subject):
            rate *= STALE
            return Score(rate, {"rate_per_s": rate, "stale": 1.0})
        return Score(rate + protected, {"rate_per_s": rate, "protected": protected})

    def _agents(self, subject: Subject) -> Iterable[str]:
        return self._model.agents if subject.agents == EVERYBODY else subject.agents

    def _anchor_rate(self, agent: str, rates: Rates) -> float:
        slot = self._model.agents.get(agent)
        if slot is None or slot >= len(rates.by_agent):
            return 0.0
        sessions = max(1, len(self._model.standing.by_name))
        same = self._model.histories.anchors_kept[slot] if self.tunables["protect_shared"] else 0.0
        return rates.by_agent[slot] * (same + (1.0 - same) / sessions)

    def _protection(self) -> float:
        span = self.tunables["protect_dispatches"]
        return 10.0 * max(0.0, 1.0 - self._model.dispatches / span) if span else 0.0

    def _history(self, subject: Subject, rates: Rates) -> Score:
        """History of one session: used when the session comes back to one of its agents, as far as it is repeated."""
        session = self._model.standing.by_name.get(subject.session)
        if session is None:
            return Score(0.0, {"closed": 1.0})
        rate, soonest, repeated = self._reuse(subject, session.place, rates)
        alive = float(rates.alive[session.place])
        parts = {
            "rate_per_s": rate, "alive": alive, "back_s": rates.wait_s(soonest, alive), "repeated": repeated,
            "superseded": float(self._is_superseded(subject)),
        }  # fmt: skip
        return Score(rate, parts)

    def _reuse(self, subject: Subject, place: int, rates: Rates) -> tuple[float, float, float]:
        """Of a history: the rate at which it is used; the rate at which the session comes back to the soonest of its
        agents; and the share of it that is repeated then, at most."""
        agents, kept_of = self._model.agents, self._model.histories.kept
        soonest = rate = repeated = 0.0
        for agent in self._agents(subject):
            slot = agents.get(agent)
            if slot is not None and slot < len(rates.by_agent):
                comes = float(rates.by_session[place, slot])
                kept = kept_of(slot, subject.part)
                soonest, rate, repeated = max(soonest, comes), rate + comes * kept, max(repeated, kept)
        return rate * SUPERSEDED if self._is_superseded(subject) else rate, soonest, repeated

    def _is_superseded(self, subject: Subject) -> bool:
        return subject.part == "old" and self._is_on("supersession")

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
            worth = {agent: self._anchor_rate(agent, rates) for agent in self._model.agents}
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
