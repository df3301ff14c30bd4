"""What a subject is worth to kv_caching: the rate at which its tokens are expected to be used, from the rates of
sessions and agents at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..parameters import Tunables
from ..primitives import Score, Subject, Subjects
from ..shares import Share
from ..tree.parts import PASSED_BY
from ..tree.subjects import EVERYBODY
from .model import ReuseModel
from .rates import Rates

STALE = 0.1
"""What is left of the rate of a prefix that its agents' last dispatches passed by, over how many these were: the longer
something was not used, the longer it will not be (Lindy's law). Of documents in Mooncake's trace it is 0.02 to 0.13."""
SUPERSEDED = 0.02
"""What is left of the rate of a history that its agent's last prompt in the session did not repeat."""

CLOSED = Score(0.0, {"closed": 1.0})


class Worth:
    """`unowned_cached`: share of nobody's prompts that was cached."""

    def __init__(self, model: ReuseModel, tunables: Tunables) -> None:
        self.unowned_cached = Share(0.3)
        self._model, self._tunables = model, tunables

    def score(self, subject: Subject, rates: Rates) -> Score:
        """Of what is not closed, see is_closed."""
        if subject.role == "private":
            return self._history(subject, rates)
        if subject.role == "unowned":
            key = self.unowned_cached.mean * rates.beta_per_s
            return Score(key, {"rate_per_s": key})
        return self._shared(subject, rates)

    def is_closed(self, subject: Subject) -> bool:
        """Whether it is the history of a session that is over."""
        return subject.role == "private" and (
            not subject.session or subject.session not in self._model.standing.by_name
        )

    def keys(self, subjects: Sequence[Subject], rates: Rates) -> list[float]:
        """The keys of `score` for many subjects: what they have in common is looked up once."""
        sessions, rows = self._model.standing.by_name, dict[int, list[float]]()
        sums = _Sums(self._model, len(rates.by_agent))
        old = SUPERSEDED if self._tunables["supersession"] else 1.0
        keys = [0.0] * len(subjects)
        for number, subject in enumerate(subjects):
            if not subject.session:  # most are histories of sessions that are closed
                if subject.role != "private":
                    keys[number] = self.score(subject, rates).key
            elif (session := sessions.get(subject.session)) is not None:
                row = rows.get(session.place)
                if row is None:
                    row = rows[session.place] = rates.by_session[session.place].tolist()
                rate = sums.rate(subject, row)
                keys[number] = rate * old if subject.part in PASSED_BY else rate
        return keys

    def nonzero(self, subjects: Subjects, rates: Rates) -> Mapping[Subject, float] | None:
        """The keys that are not 0: all histories but those of sessions that are live are worth nothing. None where that
        is most of them."""
        some = list(subjects.common())
        for session in self._model.standing.by_name:
            some += subjects.of_session(session)
        if 2 * len(some) > len(subjects):
            return None
        return dict(zip(some, self.keys(some, rates), strict=True))

    def anchor_rate(self, agent: str, rates: Rates) -> float:
        """The rate at which the agent's anchor is used, by all sessions."""
        slot = self._model.agents.get(agent)
        if slot is None or slot >= len(rates.by_agent):
            return 0.0
        same = self._model.histories.anchors_kept[slot] if self._tunables["protect_shared"] else 0.0
        return rates.by_agent[slot] * (same + (1.0 - same) / self._sessions)

    @property
    def _sessions(self) -> int:
        """That are live, or 1."""
        return max(1, len(self._model.standing.by_name))

    def _shared(self, subject: Subject, rates: Rates) -> Score:
        """Anchors and shared prefixes: used by every dispatch of their agents."""
        rate = 0.0
        for agent in self._agents(subject):
            rate += self.anchor_rate(agent, rates)
        protected = self._protection()
        if self._is_superseded(subject):
            passed_by = PASSED_BY[subject.part]
            rate *= STALE / passed_by
            return Score(rate, {"rate_per_s": rate, "passed_by": passed_by})
        return Score(rate + protected, {"rate_per_s": rate, "protected": protected})

    def _agents(self, subject: Subject) -> Iterable[str]:
        return self._model.agents if subject.agents == EVERYBODY else subject.agents

    def _protection(self) -> float:
        span = self._tunables["protect_dispatches"]
        return 10.0 * max(0.0, 1.0 - self._model.dispatches / span) if span else 0.0

    def _history(self, subject: Subject, rates: Rates) -> Score:
        """History of one session: used when the session comes back to one of its agents, as far as it is repeated."""
        session = self._model.standing.by_name[subject.session]
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
        return subject.part in PASSED_BY and bool(self._tunables["supersession"])


class _Sums:
    """Rates of histories, from the rates at which their sessions come back to each agent."""

    def __init__(self, model: ReuseModel, slots: int) -> None:
        histories = model.histories
        self._slots = {agent: slot for agent, slot in model.agents.items() if slot < slots}
        self._outputs, self._prompts = histories.outputs_kept.first(slots), histories.prompts_kept.first(slots)

    def rate(self, subject: Subject, comes: list[float]) -> float:
        """See Worth._reuse."""
        slots = self._slots
        kept = self._outputs if subject.part == "output" else self._prompts
        rate = 0.0
        for agent in slots if subject.agents == EVERYBODY else subject.agents:
            slot = slots.get(agent)
            if slot is not None:
                rate += comes[slot] * kept[slot]
        return rate
