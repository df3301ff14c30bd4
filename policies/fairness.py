"""Fair shares of the engine: of those who wait, who was served least goes first (VTC, OSDI'24, with prefix credit).

Every tenant, and every agent within it, has a counter of weighted tokens served. When more want in than the engine has
begun, or than may be in flight at once, the next is of the tenant with the lowest counter, and there of the agent with
the lowest. While enough want in, `ahead` requests stand in the engine's own queue, so that it does not run short of
work for it; an engine that has not said yet of any request that it began it is only held to `places`. A counter that
was idle is lifted to the lowest of those at work, so that nobody saves up while away. Tokens served from the cache cost
a tenth of computed ones: an agent does not pay for an anchor that was there already. (DLPM gives this credit too; that
it also prefers the longest match is left to `batch_shaping`.)

Output counts when it is over, so of two agents that never stop asking, neither gets ahead by more than twice what
`places` of the heaviest requests weigh, and a `quantum`: who is within the same one counts as served alike, and other
policies order those (batch_shaping by what is cached, as DLPM). What the engine runs and `ahead` stand in for `places`
where that is less.

The cache is accounted too, by tenant and by agent: while one of them holds more than `cache_share` of it, what others
have who are at work is kept back, so that a flood takes its own pages (see `cache_shares`). What is shared with those
others, and what the operator pinned, stays. Agents name themselves, so whoever goes by many names has as many shares
within its tenant; only API keys prove whose a request is, so it is tenants with keys that are held to theirs.

Shares need not be equal; the rules are weights, 1 where nothing is said:

    [tenants]
    acme = 2.0
    [agents]
    coder = 3.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec

from .bounded import Bounded
from .door.cache_shares import CacheShares, Standing
from .door.counters import Counters
from .door.rules_text import read_toml, wrong
from .door.unbegun import Unbegun
from .doorkeeping import Asked, BaseDoorkeeper, Came, DoorFact, Entered, Left, Matched, Verdict
from .events import EngineEvent, EngineLoadSampled, EngineStarted, EventsDropped, PrefixMatched, SessionEnded
from .parameters import Tunable
from .primitives import BasePolicy, Score, Subject, Subjects
from .resident import ResidentTokens

MAX_CHARGES = 8_192
MAX_TENANTS = 1_024
UNTOUCHED = Score(0.0)


class _Charge(msgspec.Struct):
    """What a request was charged for its prompt. `exact`: the engine said how much of that was cached."""

    prompt: float
    exact: bool = False


class Fairness(BaseDoorkeeper, BasePolicy):
    """Holds what exceeds the places in flight, and lets in who was served least."""

    name: ClassVar[str] = "fairness"
    doc: ClassVar[str] = "When more want in than the engine begins, who was served least goes first."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("ahead", 4.0, 1.0, 4096.0, "requests", "Let in and not begun by the engine before anybody waits"),
        Tunable("places", 64.0, 1.0, 4096.0, "requests", "Requests in flight before anybody waits at the door"),
        Tunable("output_weight", 2.0, 0.0, 100.0, "", "Cost of a written token; one of a prompt costs 1"),
        Tunable("cached_weight", 0.1, 0.0, 1.0, "", "Cost of a token of a prompt that was in the cache"),
        Tunable("quantum", 0.0, 0.0, 1e7, "tokens", "Differences within it are left to other policies' orders"),
        Tunable("cache_share", 0.5, 0.01, 1.0, "", "Who holds more of the cache loses its own first; 1: nobody does"),
        Tunable("longest_hold_s", 120.0, 1.0, 3600.0, "s", "After this a caller is told to come again"),
    )

    notes: ClassVar[tuple[type[DoorFact], ...]] = (Came, Entered, Matched, Left)
    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (
        EventsDropped, EngineStarted, EngineLoadSampled, PrefixMatched, SessionEnded,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._line = Unbegun()
        self._cache = CacheShares()
        self.tenants = Counters()
        self.agents: Bounded[str, Counters] = Bounded(MAX_TENANTS)
        self.weights: dict[str, dict[str, float]] = {}
        self._known: set[str] = set()
        self._inside: set[str] = set()
        self._charges: Bounded[str, _Charge] = Bounded(MAX_CHARGES)

    def obey(self, rules: str) -> None:
        """See Ruled.obey."""
        self.weights = _read_weights(rules)

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        if held := self._line.full(int(self.tunables["ahead"]), "who was served least goes first"):
            return held
        places = int(self.tunables["places"])
        if len(self._inside) >= places:
            why = f"{places} requests are in flight; who was served least goes first"
            return Verdict(kind="hold", why=why, everybody=True)
        served = self.tenants[asked.tenant], self._of(asked.tenant)[asked.agent]
        quantum = self.tunables["quantum"]
        return Verdict(order=(served[0] // quantum, served[1] // quantum) if quantum else served)

    def notice(self, fact: DoorFact) -> None:
        asked = fact.asked
        self._line.notice(fact)
        match fact:
            case Came():
                self._known.add(asked.rid)
                self.tenants.came(asked.tenant)
                self._of(asked.tenant).came(asked.agent)
            case Entered():
                self._inside.add(asked.rid)
                self._charge_prompt(asked, asked.about_tokens, exact=False)
            case Matched():
                computed = fact.prompt_tokens - fact.cached_tokens
                self._charge_prompt(asked, computed + self.tunables["cached_weight"] * fact.cached_tokens, exact=True)
            case Left():
                self._left(fact)
            case _:
                pass

    def observe(self, event: EngineEvent) -> None:
        self._line.observe(event)
        self._cache.observe(event)

    # ---- the cache ---------------------------------------------------------------------------------------------------

    def reckon(self, resident: ResidentTokens) -> None:
        self._cache.reckon(resident)

    def _standing(self) -> Standing | None:
        """Who is over their share of the cache, as it is set now."""
        return self._cache.standing(self.tunables["cache_share"])

    def score(self, subject: Subject, now_s: float) -> Score:
        standing = self._standing()
        key, why = standing.verdict(subject) if standing else (0.0, "")
        return Score(key, {why: key}) if key else UNTOUCHED

    def scores(self, subjects: Sequence[Subject], now_s: float) -> list[float]:
        standing = self._standing()
        keys = [standing.verdict(subject)[0] for subject in subjects] if standing else []
        return keys if any(keys) else []

    def nonzero(self, subjects: Subjects, now_s: float) -> Mapping[Subject, float] | None:
        return None if self._standing() else {}

    def worthless(self, subject: Subject) -> bool:
        return not self._standing()

    # ---- what requests are charged -----------------------------------------------------------------------------------

    def _left(self, fact: Left) -> None:
        asked = fact.asked
        if fact.entered and fact.prompt_tokens:
            self._charge_prompt(asked, fact.prompt_tokens, exact=False)
        self._charge(asked, self.tunables["output_weight"] * fact.output_tokens)
        self._inside.discard(asked.rid)
        if asked.rid in self._known:  # else it came before this policy was on
            self._known.discard(asked.rid)
            self.tenants.left(asked.tenant)
            self._of(asked.tenant).left(asked.agent)

    def _charge_prompt(self, asked: Asked, cost: float, *, exact: bool) -> None:
        """Charge a prompt, or correct what it was charged before, unless that was exact."""
        before = self._charges.get(asked.rid)
        if before is None or not before.exact:
            self._charge(asked, cost - (before.prompt if before else 0.0))
            self._charges.put(asked.rid, _Charge(cost, exact))

    def _charge(self, asked: Asked, cost: float) -> None:
        self.tenants.charge(asked.tenant, cost / self._weight("tenants", asked.tenant))
        self._of(asked.tenant).charge(asked.agent, cost / self._weight("agents", asked.agent))

    def _weight(self, kind: str, name: str) -> float:
        return self.weights.get(kind, {}).get(name, 1.0)

    def _of(self, tenant: str) -> Counters:
        """The counters of a tenant's agents."""
        return self.agents.get(tenant) or self.agents.put(tenant, Counters())


def _read_weights(text: str) -> dict[str, dict[str, float]]:
    """Weights by 'tenants' and 'agents', then by name. Raises RulesError naming key and line."""
    told = read_toml(text)
    for kind, weights in told.items():
        if kind not in ("tenants", "agents") or not isinstance(weights, dict):
            raise wrong(text, [kind], "known are the tables [tenants] and [agents]")
        for name, weight in cast("dict[str, Any]", weights).items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0.01 <= weight <= 100:
                raise wrong(text, [kind, name], f"{weight!r} is no weight, a number from 0.01 to 100")
    return told
