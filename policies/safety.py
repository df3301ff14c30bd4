"""What an agent may do, enforced before a request reaches the engine: models, tools, budgets, length of output.

The rules come from a file (safety_rules). What breaks them is refused: 403 for what is not allowed at all, 429 with
the time to come again for a budget that is used up. A request is not held for a budget: an honest "in 12 s" lets the
caller decide. Output is cut to its limit rather than refused, unless the rules say so, since an answer that is too long
is not known before it is written. Tools are refused and not silently left out: that would change the prompt.

A request's prompt counts by a guess from its size when it comes in, and by what was really read and written when it is
over; so requests under way may pass a budget of tokens by what they write.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import ClassVar

from .door.budgets import Budgets
from .door.safety_rules import Limits, Rules, read_rules
from .doorkeeping import MAX_NAME, PASS, Asked, BaseDoorkeeper, DoorFact, Entered, Left, Verdict, shortened
from .primitives import BasePolicy

MINUTE_S, DAY_S = 60.0, 86_400.0
BUDGETS: tuple[tuple[str, str, float], ...] = (
    ("requests_per_minute", "requests", MINUTE_S),
    ("tokens_per_minute", "tokens", MINUTE_S),
    ("tokens_per_day", "tokens", DAY_S),
)
"""Field of the rules, what it counts, and its period."""

Scope = tuple[str, Limits]
"""Who the limits hold for, in words, and the limits."""


class Safety(BaseDoorkeeper, BasePolicy):
    """Refuses what the rules do not allow and limits what is written. Says nothing without rules."""

    name: ClassVar[str] = "safety"
    doc: ClassVar[str] = "What agents and tenants may do: models, tools, rates, tokens, length of output."
    fails_closed: ClassVar[bool] = True
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Entered, Left)

    def __init__(self) -> None:
        super().__init__()
        self.rules = Rules()
        self._silent = True
        self._budgets = Budgets()
        self._guessed: dict[str, int] = {}

    def obey(self, rules: str) -> None:
        """See Ruled.obey. What was used of a budget stays used."""
        self.rules = read_rules(rules)
        self._silent = self.rules == Rules()

    def admit(self, asked: Asked, now_s: float) -> Verdict:
        if self._silent:
            return PASS
        if why := self.forbids(asked):
            return Verdict(kind="refuse", why=why)
        limit: int | None = None
        for who, limits in self._scopes(asked):
            most = limits.max_output_tokens
            if most is None:
                continue
            if limits.over_output == "refuse" and (asked.output_tokens or 0) > most:
                why = f"{who} may have {most} tokens of output, not {asked.output_tokens}"
                return Verdict(kind="refuse", status=400, why=why)
            limit = most if limit is None else min(limit, most)
        late = max(self._waits(asked, now_s), default=None)
        if late is not None:
            return Verdict(kind="refuse", status=429, why=late[1], retry_in_s=late[0])
        return PASS if limit is None else Verdict(limit_tokens=limit)

    def forbids(self, asked: Asked) -> str:
        """Why it is not allowed at all, whatever was used of any budget; '' if it is."""
        return next(filter(None, (_forbidden(asked, who, limits) for who, limits in self._scopes(asked))), "")

    def notice(self, fact: DoorFact) -> None:
        match fact:
            case Entered() if not self._silent:
                self._guessed[fact.asked.rid] = fact.asked.about_tokens
                self._charge(fact, requests=1, tokens=fact.asked.about_tokens)
            case Left(entered=True):
                guessed = self._guessed.pop(fact.asked.rid, 0)
                prompt = fact.prompt_tokens or guessed  # an answer that does not say leaves the guess
                self._charge(fact, requests=0, tokens=prompt + fact.output_tokens - guessed)
            case _:
                pass

    def _scopes(self, asked: Asked) -> Iterator[Scope]:
        """Everything that the rules say about a request. An agent that they name by what it calls itself is held to
        that even where it is known by its prompt: whatever others of its tenant say, its rules stay."""
        agent = asked.called if asked.called in self.rules.agents else asked.agent
        yield f"agent {agent!r}", self.rules.of_agent(agent)
        if asked.tenant in self.rules.tenants:
            yield f"tenant {asked.tenant!r}", self.rules.tenants[asked.tenant]

    def _waits(self, asked: Asked, now_s: float) -> Iterator[tuple[float, str]]:
        """For each budget that is used up: seconds until there is room for the request, and why."""
        for who, limits in self._scopes(asked):
            for field, unit, period_s in BUDGETS:
                budget: int | None = getattr(limits, field)
                if budget is None:
                    continue
                amount = 1 if unit == "requests" else asked.about_tokens
                wait_s = self._budgets.wait_s((who, field), budget, period_s, now_s, amount)
                if wait_s > 0:
                    yield wait_s, f"{who} has used its {budget} {field.replace('_', ' ')}"

    def _charge(self, fact: DoorFact, *, requests: int, tokens: int) -> None:
        for who, limits in self._scopes(fact.asked):
            for field, unit, period_s in BUDGETS:
                budget: int | None = getattr(limits, field)
                amount = requests if unit == "requests" else tokens
                if budget is not None and amount:
                    self._budgets.charge((who, field), budget, period_s, fact.t_s, amount)


def _forbidden(asked: Asked, who: str, limits: Limits) -> str:
    """Why the request is not allowed at all, '' if it is."""
    for what, allowed, named in (
        ("tool", limits.tools, asked.tools),
        ("model", limits.models, asked.models),
        ("agent name", limits.agents, (asked.called or asked.agent,)),
    ):
        if allowed is not None:
            for name in named:
                if not any(fnmatchcase(name, pattern) for pattern in allowed):
                    told = shortened(name, MAX_NAME)
                    return f"{who} may not use {what} {told!r}; allowed: {', '.join(allowed) or 'none'}"
    return ""
