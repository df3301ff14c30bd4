"""Calls of read-only tools made before anybody makes them, since they will most likely come next (after PASTE).

A call is made early if its tool is declared `speculate`, and what that is expected to save (the chance of the call
times what the tool takes) is worth what it is expected to cost (the chance that it does not come times what a call in
vain costs). Real calls go first, a bounded number is early at a time, and a bounded share of all calls is in vain. The
result goes into the memory of tool results and is used by its rules, or lapses. Pure: time is given.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..bounded import Bounded
from .calls import Key, Ticket, ToolCall
from .memory import ToolMemory
from .patterns import Guess, Patterns
from .rules import MemoRules

MAX_TOOLS, MAX_WAITING, MAX_FETCHED = 512, 8, 512
START_CREDIT, MOST_CREDIT = 2.0, 8.0
"""So many calls may be in vain at first, and in a row."""
NEW_SHARE = 0.2
"""What the latest call adds to what a tool takes."""


class EarlyCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to make now, of which nobody knows. `why`: in words."""

    call: ToolCall
    ticket: Ticket
    why: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call that was made early. `wasted`: why it was in vain, '' if it was not; `ahead_s`: by so much
    it was ahead of the real call that waited for it, None if none did."""

    call: ToolCall
    wasted: str = ""
    ahead_s: float | None = None


class _Fetched(msgspec.Struct):
    """`ahead_s`: see Outcome."""

    early: EarlyCall
    ahead_s: float | None = None


class EarlyCalls:
    """`limit` reads a bound by name: early_at_once, early_waste, early_worth, early_least_s.

    `never`: tools that are not called early by the rules of now, and why.
    """

    def __init__(self, memory: ToolMemory, limit: Callable[[str], float]) -> None:
        self.never: Bounded[str, str] = Bounded(MAX_TOOLS)
        self._memory, self._limit = memory, limit
        self._patterns = Patterns(self._may, self._ignored)
        self._took_s: Bounded[str, float] = Bounded(MAX_TOOLS)
        self._waiting: list[Guess] = []
        self._fetched: dict[Key | None, _Fetched] = {}
        self._flying: set[int] = set()
        self._credit = START_CREDIT

    @property
    def _rules(self) -> MemoRules:
        return self._memory.rules

    @property
    def on(self) -> bool:
        """Whether there is anything to learn for."""
        return self._rules.speculates and self._limit("early_at_once") > 0

    # ---- real calls --------------------------------------------------------------------------------------------------

    def began(self, call: ToolCall) -> None:
        """A real call has come."""
        if self.on:
            self._credit = min(MOST_CREDIT, self._credit + self._limit("early_waste"))
            self._patterns.began(call)

    def ended(self, call: ToolCall, said: object, took_s: float | None) -> None:
        """A real call is over. `said`: its result as JSON, None if it failed; `took_s`: None if it did not run."""
        if took_s is not None:
            self._measured(call.tool, took_s)
        if self.on:
            guesses = [guess for guess in self._patterns.ended(call, said) if self._is_worth(guess)]
            self._waiting = [*(guess for guess in self._waiting if guess.stands()), *guesses][-MAX_WAITING:]

    def used(self, key: Key | None) -> bool:
        """A real call was answered with what is kept under this key. Whether that was early, and this is its first
        use."""
        fetched = self._fetched.get(key)
        if fetched is None or self._flies(fetched.early):
            return False
        del self._fetched[key]
        self._give_back()
        return True

    def wanted(self, key: Key | None, now_s: float) -> bool:
        """A real call waits for what is on its way under this key. Whether that is early, and it the first to wait."""
        fetched = self._fetched.get(key)
        if fetched is None or fetched.ahead_s is not None:
            return False
        fetched.ahead_s = now_s - fetched.early.ticket.began_s
        return True

    def checked(self, key: Key | None) -> bool:
        """A real call goes to its tool all the same. Whether there is an early result that it is held against."""
        return self._fetched.pop(key, None) is not None

    # ---- early calls -------------------------------------------------------------------------------------------------

    def next(self, now_s: float, can: Callable[[ToolCall], bool] = lambda call: True) -> EarlyCall | None:
        """A call to make now, of those that `can` be made; None if there is none. Whoever gets one says what became of
        it, once (`over`)."""
        while self._waiting and self._may_begin():
            guess = self._waiting.pop(0)
            if not guess.stands() or not can(guess.call) or not self._may(guess.call.tool):
                continue
            ticket = self._memory.ask_early(guess.call, now_s)
            if ticket is not None:
                self._credit -= 1
                early = EarlyCall(call=guess.call, ticket=ticket, why=guess.why)
                self._fetched[ticket.key] = _Fetched(early)
                self._flying.add(ticket.number)
                return early
        return None

    def over(self, early: EarlyCall, took_s: float | None, failed: str = "") -> Outcome:
        """An early call is over. `took_s`: None if it did not end by itself; `failed`: why its result is not kept."""
        if took_s is not None:
            self._measured(early.call.tool, took_s)
        self._flying.discard(early.ticket.number)
        fetched = self._fetched.get(early.ticket.key)
        if fetched is None or fetched.early is not early:
            return Outcome(call=early.call)
        if failed or fetched.ahead_s is not None:
            del self._fetched[early.ticket.key]
        if failed:
            return Outcome(call=early.call, wasted=failed)
        if fetched.ahead_s is not None:
            self._give_back()
        return Outcome(call=early.call, ahead_s=fetched.ahead_s)

    def lapsed(self, now_s: float) -> list[Outcome]:
        """Early results that nobody asked for in time."""
        gone = [
            (key, fetched.early)
            for place, (key, fetched) in enumerate(reversed(self._fetched.items()))
            if not self._flies(fetched.early)
            and (place >= MAX_FETCHED or now_s - fetched.early.ticket.began_s >= fetched.early.ticket.ttl_s)
        ]
        for key, _ in gone:
            del self._fetched[key]
        return [Outcome(call=early.call, wasted="nobody asked for it in time") for _, early in gone]

    def obeyed(self) -> None:
        """The rules were read again: what waits was guessed by others, and each tool may be called early again."""
        self.never, self._waiting = Bounded(MAX_TOOLS), []

    def forget(self) -> None:
        """All that was learned, and all that waits. What is on its way is told all the same."""
        self._patterns.forget()
        self._waiting = []

    def _flies(self, early: EarlyCall) -> bool:
        """Whether it is on its way."""
        return early.ticket.number in self._flying

    def _measured(self, tool: str, took_s: float) -> None:
        before = self._took_s.get(tool)
        self._took_s.put(tool, took_s if before is None else before + NEW_SHARE * (took_s - before))

    def _may(self, tool: str) -> bool:
        rule = self._rules.reader(tool)
        return rule is not None and rule.speculate is True and tool not in self.never and tool not in self._memory.off

    def _ignored(self, tool: str) -> list[str]:
        rule = self._rules.reader(tool)
        return (rule.ignore or []) if rule is not None else []

    def _is_worth(self, guess: Guess) -> bool:
        rule, took_s = self._rules.reader(guess.call.tool), self._took_s.get(guess.call.tool)
        if rule is None or took_s is None:
            return False
        saves_s = guess.chance * took_s
        costs_s = (1 - guess.chance) * (took_s if rule.cost_s is None else rule.cost_s)
        return saves_s >= self._limit("early_least_s") and saves_s > self._limit("early_worth") * costs_s

    def _may_begin(self) -> bool:
        busy = len(self._memory.under_way) > len(self._flying)
        return (
            self._credit >= 1 and len(self._flying) < self._limit("early_at_once") and not (self._rules.serial and busy)
        )

    def _give_back(self) -> None:
        """It was not in vain."""
        self._credit = min(MOST_CREDIT, self._credit + 1)
