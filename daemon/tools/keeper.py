"""A memory of tool results in a process that calls tools: the policy with a clock, every decision told as a fact."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from radixdeck.policies.doorkeeping import MAX_NAME
from radixdeck.policies.events import PolicySwitched, ToolMemoized, TunableChanged
from radixdeck.policies.memoization import Memoization
from radixdeck.policies.parameters import TunableError
from radixdeck.policies.safety import Safety
from radixdeck.policies.tools.calls import Asked, Kept, Key, Ticket, ToolCall
from radixdeck.policies.tools.early_calls import EarlyCall
from radixdeck.policies.tools.permits import ToolPermits

from ..clock import now_ns

Emit = Callable[[ToolMemoized], None]

CALLED_OFF = "it was called off"
NEVER_OVER = "it was called off or goes on as a task: what it changes is not answered until all begins anew"


class Keeper:
    """`rules`: the text of the policy's file; `emit` is told of everything; `clock` counts seconds and never goes back.

    `on`: while it is not, every call goes to its tool, and nothing is remembered. `permits`: which calls may be made at
    all, whether it is on or not. Raises RulesError if the rules cannot be used, TunableError for a bad tunable.
    """

    def __init__(
        self,
        rules: str,
        emit: Emit = lambda fact: None,
        tunables: dict[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on = True
        self.permits = ToolPermits()
        self.policy = Memoization()
        for name, value in (tunables or {}).items():
            self.policy.tunables.set(name, value)
        self.policy.obey(rules)
        self.clock = clock
        self._emit = emit

    def obey(self, policy: str, rules: str) -> None:
        """Give memoization or safety its rules. Raises RulesError, and then nothing has changed."""
        (self.permits if policy == Safety.name else self.policy).obey(rules)

    def ask(self, call: ToolCall) -> Asked:
        """See ToolMemory.ask. A call that changes things is told to memory even while it is off."""
        asked = self.policy.memory.ask(call, self.clock())
        if not self.on and (asked.ticket is None or asked.ticket.key is not None):
            ticket = asked.ticket or Ticket(tool=call.tool)
            return Asked(ticket=replace(ticket, key=None, shared=False), why="memoization is off")
        if asked.ticket is None:
            early = self.policy.early.used(asked.key)
            self._tell(call, "early_used" if early else "answered", saved_s=asked.took_s)
        elif asked.forgotten:
            self._tell(call, "invalidated", why="it is called", results=asked.forgotten)
        return asked

    def goes(self, call: ToolCall, asked: Asked) -> None:
        """The call goes to its tool."""
        self._tell(call, "asked", why=asked.why)
        if asked.ticket is not None and self.policy.early.checked(asked.ticket.key):
            self._tell(call, "early_checked", why=asked.why)

    def joined(self, call: ToolCall, took_s: float) -> None:
        """The call got the result of the same one that was under way."""
        self._tell(call, "joined", saved_s=took_s)

    def answered(self, call: ToolCall, ticket: Ticket, value: bytes | None, proof: bytes | None = None) -> Kept:
        """See ToolMemory.answered."""
        kept = self.policy.memory.answered(ticket, value, self.clock(), proof)
        if kept.what != "left":
            self._tell(call, kept.what, why=kept.why, results=kept.forgotten)
        elif kept.forgotten:
            self._tell(call, "invalidated", why="it has been called", results=kept.forgotten)
        return kept

    def called_off(self, call: ToolCall, ticket: Ticket) -> None:
        """See ToolMemory.called_off. Of a call that changes things nobody will know when it is over."""
        self.policy.memory.called_off(ticket)
        if self.policy.memory.rules.changed_by(ticket.tool):
            self._tell(call, "unsettled", why=NEVER_OVER)

    def unsettled(self, method: str) -> None:
        """A message was called off that may change what tools read."""
        self._tell(ToolCall(tool="*"), "unsettled", why=f"{method}: {NEVER_OVER}")

    def restart(self, why: str) -> None:
        """See ToolMemory.restart."""
        if gone := self.policy.memory.restart():
            self._tell(ToolCall(tool="*"), "invalidated", why=why, results=gone)

    def switch_off(self, tool: str, why: str) -> None:
        """Answer this tool no more."""
        if tool not in self.policy.memory.off:
            self.policy.memory.switch_off(tool, why)
            self._tell(ToolCall(tool=tool), "off", why=why)

    def forget_all(self, why: str) -> None:
        """Something changed that no call tells of."""
        if gone := self.policy.memory.forget_all():
            self._tell(ToolCall(tool="*"), "invalidated", why=why, results=gone)

    def propose(self, tool: str, why: str) -> None:
        """Say that a tool might be declared read-only."""
        self._tell(ToolCall(tool=tool), "proposed", why=why)

    def heed(self, event: PolicySwitched | TunableChanged) -> None:
        """Follow an order; one that is about another policy, or that cannot be followed, changes nothing."""
        if event.policy != self.policy.name:
            return
        if isinstance(event, PolicySwitched):
            self.on = event.enabled
            self.policy.memory.forget_all()
            self.policy.early.forget()
            return
        try:
            self.policy.tunables.set(event.name, event.value)
        except TunableError:
            return

    # ---- calls made before they come ---------------------------------------------------------------------------------

    def came(self, call: ToolCall) -> str:
        """Somebody makes a call: said of every one, before it is asked about. Why it must not be made, '' if it may."""
        if why := self.forbidden(call):
            return why
        for outcome in self.policy.early.lapsed(self.clock()):
            self._tell(outcome.call, "early_wasted", why=outcome.wasted)
        if self.on:
            self.policy.early.began(call)
        return ""

    def forbidden(self, call: ToolCall) -> str:
        """Why a call must not go to its tool, '' if it may. One that has waited for another is asked about once more:
        what held when it came need not hold any more."""
        why = self.permits.why_not(call)
        if why:
            self._tell(call, "forbidden", by=Safety.name, why=why)
        return why

    def over(self, call: ToolCall, said: Callable[[], object], ticket: Ticket | None = None) -> None:
        """The caller has its answer. `said`: reads that as JSON, an error as None, and is only asked if something may
        be learned from it; `ticket`: the call's own, if the tool itself ran."""
        if self.on:
            took_s = self.clock() - ticket.began_s if ticket is not None and ticket.key is not None else None
            self.policy.early.ended(call, said() if self.policy.early.on else None, took_s)

    def next_early(self, can: Callable[[str], bool] = lambda tool: True) -> EarlyCall | None:
        """A call of a tool that `can` be called to make now, though nobody has; never one that must not be made. What
        became of it is said once, by `early_over`."""
        if not self.on:
            return None
        early = self.policy.early.next(self.clock(), lambda call: can(call.tool) and not self.permits.why_not(call))
        if early is not None:
            self._tell(early.call, "early", why=early.why)
        return early

    def wanted(self, key: Key | None) -> bool:
        """A call waits for one that is under way. Whether that was made early, and this is the first to wait: it is not
        said to have `joined`."""
        return self.policy.early.wanted(key, self.clock())

    def early_over(
        self, early: EarlyCall, value: bytes | None, proof: bytes | None = None, *, called_off: str = ""
    ) -> None:
        """An early call is over, with a result to keep or none (None); `called_off`: why it was not waited for."""
        now_s, failed = self.clock(), called_off or ("" if self.on else "memoization is off")
        if failed:
            self.policy.memory.called_off(early.ticket)
        else:
            kept = self.policy.memory.answered(early.ticket, value, now_s, proof)
            failed = "" if kept.what in ("stored", "confirmed") else kept.why
            if kept.what == "off":
                self._tell(early.call, "off", why=kept.why, results=kept.forgotten)
        took_s = None if called_off else now_s - early.ticket.began_s
        outcome = self.policy.early.over(early, took_s, failed)
        if outcome.wasted:
            self._tell(early.call, "early_wasted", why=outcome.wasted)
        elif outcome.ahead_s is not None:
            self._tell(early.call, "early_used", saved_s=outcome.ahead_s)

    def never_early(self, tool: str, why: str) -> None:
        """Do not call this tool early any more."""
        self.policy.early.never.put(tool, why)

    def _tell(self, call: ToolCall, what: Any, **more: Any) -> None:
        who = {"agent": call.agent, "session": call.session, "tenant": call.tenant}
        self._emit(ToolMemoized(t_ns=now_ns(), tool=call.tool[:MAX_NAME], what=what, **who, **more))
