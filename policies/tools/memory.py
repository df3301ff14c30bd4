"""Remembered results of read-only tools: what may be answered, what may be kept, and what a change takes away.

A result is answered only if the rules declare its tool read-only, nothing that they say changes it was called since its
call began, and that is less than `ttl_s` ago. Before the first answer, and now and then later, a call that could be
answered goes to the tool all the same: two results that differ prove the declaration wrong, and the tool is off.

Every call is asked about (`ask`) before and reported (`answered`) after it, changing ones too. Pure: time is given.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, cast

import msgspec

from .calls import Asked, Kept, Key, Ticket, ToolCall
from .canonical import NotCanonical, canonical
from .changes import FOR_EVER_S, Changes, subject_of
from .rules import MemoRules, ToolRule


class _Entry(msgspec.Struct, frozen=True):
    tool: str
    value: bytes
    proof: bytes
    began_s: float
    took_s: float
    size: int
    subject: bytes | None


class ToolMemory:
    """`limit` reads a bound by name: max_entries, max_bytes, max_result_bytes, trials, audit_every.

    `off`: tools that are not answered any more, and why. `bytes`: of what is kept, arguments included.
    """

    def __init__(self, rules: MemoRules, limit: Callable[[str], float]) -> None:
        self.rules = rules
        self.off: dict[str, str] = {}
        self.bytes = 0
        self._limit = limit
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._changes = Changes(rules)
        self._number = 0
        self._agreed: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def under_way(self) -> dict[int, Ticket]:
        """Calls that have a ticket and are not over, by its number."""
        return self._changes.under_way

    def ask(self, call: ToolCall, now_s: float) -> Asked:
        """Whether a call is answered from memory. A call that changes things takes what it changes out of it. Whoever
        gets a ticket says what became of it, once: `answered` or `called_off`."""
        asked = self._asked(call, now_s)
        if asked.ticket is None:
            return asked
        return msgspec.structs.replace(asked, ticket=self._numbered(asked.ticket))

    def ask_early(self, call: ToolCall, now_s: float) -> Ticket | None:
        """A ticket for a call that nobody has made yet; None if it may not be made, or its result is there or on its
        way."""
        rule = self.rules.reader(call.tool)
        if rule is None or not rule.speculate:
            return None
        ticket = self._readers(call, rule, now_s).ticket
        if ticket is None or ticket.key is None or ticket.expected is not None:
            return None
        if any(ticket.key == other.key for other in self.under_way.values()):
            return None
        return self._numbered(ticket)

    def _numbered(self, ticket: Ticket) -> Ticket:
        self._number += 1
        numbered = msgspec.structs.replace(ticket, number=self._number)
        self._changes.under_way[numbered.number] = numbered
        return numbered

    def _asked(self, call: ToolCall, now_s: float) -> Asked:
        rule = self.rules.reader(call.tool)
        if rule is None:
            ticket = Ticket(tool=call.tool, arguments=call.arguments)
            return Asked(ticket=ticket, forgotten=self._forget_changed(ticket), why="it is not declared read-only")
        return self._readers(call, rule, now_s)

    def _readers(self, call: ToolCall, rule: ToolRule, now_s: float) -> Asked:
        """Of a tool that is declared read-only."""
        subject = subject_of(call.arguments, rule.per)
        why = self.off.get(call.tool) or self._changes.unsettled(call.tool, subject, now_s)
        if why:
            return Asked(ticket=Ticket(tool=call.tool), why=why)
        try:
            key = (_key(call, rule), *self._changes.state(call.tool, subject))
        except NotCanonical as error:
            return Asked(ticket=Ticket(tool=call.tool), why=f"its arguments hold {error}")
        proven = self._agreed[call.tool] >= self._limit("trials")
        entry = self._fresh(key, rule, now_s)
        if entry is not None and proven and not self._audit_due(call.tool):
            return Asked(value=entry.value, key=key, took_s=entry.took_s)
        ticket = Ticket(
            tool=call.tool, key=key, began_s=now_s, ttl_s=rule.ttl_s or 0.0, shared=proven, subject=subject,
            expected=entry.proof if entry else None,
        )  # fmt: skip
        return Asked(ticket=ticket, why="" if entry is None else "to see whether the tool still says the same")

    def answered(self, ticket: Ticket, value: bytes | None, now_s: float, proof: bytes | None = None) -> Kept:
        """The call is over. `value`: its result, None if it failed or must not be kept; `proof`: the part of it that
        has to be the same whenever the same is asked, all of it if not given."""
        self._changes.under_way.pop(ticket.number, None)
        if self.rules.reader(ticket.tool) is None:
            self._changes.settle(ticket, now_s, self.rules.settle_s(ticket.tool))
            return Kept(forgotten=self._forget_changed(ticket))
        if ticket.key is None:
            return Kept()
        now = self._changes.state(ticket.tool, ticket.subject)
        if ticket.key[1:] != now or self._changes.unsettled(ticket.tool, ticket.subject, now_s):
            return Kept(what="refused", why="something changed while it was under way")
        if ticket.tool in self.off:
            return Kept(what="refused", why=self.off[ticket.tool])
        if value is None:
            return Kept(what="refused", why="it failed or is not a plain result")
        proof = value if proof is None else proof
        if self._contradicted(ticket, proof, now_s):
            age = "less than ttl_s later, with nothing called in between that is said to change it"
            return self.switch_off(ticket.tool, f"the same call gave another result {age}")
        agrees = ticket.expected is not None or self._is_kept(ticket.key, proof)
        self._agreed[ticket.tool] += agrees
        kept = self._store(ticket, value, proof, now_s)
        return Kept(what="confirmed") if agrees and kept.what == "stored" else kept

    def called_off(self, ticket: Ticket) -> None:
        """The caller does not wait for the call any more. One that changes things may go on doing so: what it changes
        is not answered until `restart`."""
        self._changes.under_way.pop(ticket.number, None)
        if self.rules.reader(ticket.tool) is None:
            self._changes.settle(ticket, 0.0, FOR_EVER_S)

    def switch_off(self, tool: str, why: str) -> Kept:
        """Answer this tool no more."""
        self.off[tool] = why
        return Kept(what="off", why=why, forgotten=self._forget(tool))

    def forget_all(self) -> int:
        """Something changed that no call tells of; returns how many results went."""
        return sum(self._forget(tool) for tool, rule in self.rules.tools.items() if rule.read_only)

    def obey(self, rules: MemoRules) -> None:
        """Follow these rules from now on. All results go; what is under way stays known."""
        self.forget_all()
        self.rules = self._changes.rules = rules
        self.forget_all()
        self.off.clear()
        self._agreed.clear()

    def restart(self) -> int:
        """Whoever answers the calls has begun anew; what was under way is over. Returns how many results went."""
        self._changes.begin_again()
        return self.forget_all()

    def _forget_changed(self, writer: Ticket) -> int:
        """What is under way is not kept either: it belongs to the state before."""
        return sum(self._drop_about(tool, subject) for tool, subject in self._changes.changed(writer))

    def _forget(self, tool: str) -> int:
        self._changes.changed_all(tool)
        return self._drop_about(tool, None)

    # ---- what is kept ------------------------------------------------------------------------------------------------

    def _fresh(self, key: Key, rule: ToolRule, now_s: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not 0 <= now_s - entry.began_s < (rule.ttl_s or 0.0):
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _audit_due(self, tool: str) -> bool:
        """Counts the answers of a tool; every so many the tool itself is asked."""
        self._answers[tool] += 1
        return self._answers[tool] % max(1, int(self._limit("audit_every"))) == 0

    def _contradicted(self, ticket: Ticket, proof: bytes, now_s: float) -> bool:
        """Whether another result of the same call is remembered, from less than ttl_s before this one."""
        if ticket.expected is not None and ticket.expected != proof:
            return True
        entry = self._entries.get(ticket.key) if ticket.key is not None else None
        return entry is not None and entry.proof != proof and abs(now_s - entry.began_s) < ticket.ttl_s

    def _is_kept(self, key: Key, proof: bytes) -> bool:
        """Whether another call of the same, which was under way with this one, has said so."""
        entry = self._entries.get(key)
        return entry is not None and entry.proof == proof

    def _store(self, ticket: Ticket, value: bytes, proof: bytes, now_s: float) -> Kept:
        key = ticket.key
        assert key is not None
        size = len(key[0]) + len(value) + (0 if proof is value else len(proof))
        if size > min(self._limit("max_result_bytes"), self._limit("max_bytes")):
            return Kept(what="refused", why="it is larger than max_result_bytes")
        self._drop(key)
        took_s = max(0.0, now_s - ticket.began_s)
        self._entries[key] = _Entry(ticket.tool, value, proof, ticket.began_s, took_s, size, ticket.subject)
        self.bytes += size
        while self._entries and (
            len(self._entries) > self._limit("max_entries") or self.bytes > self._limit("max_bytes")
        ):
            self._drop(next(iter(self._entries)))
        return Kept(what="stored")

    def _drop_about(self, tool: str, subject: bytes | None) -> int:
        """What a tool said about a subject, or may have; all that it said if `subject` is None."""
        about = (None, subject)
        gone = [
            key
            for key, entry in self._entries.items()
            if entry.tool == tool and (subject is None or entry.subject in about)
        ]
        for key in gone:
            self._drop(key)
        return len(gone)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        self.bytes -= entry.size if entry else 0


def _key(call: ToolCall, rule: ToolRule) -> bytes:
    """Tool, whose it is, and all that its result may depend on. Raises NotCanonical."""
    scope = rule.scope or "agent"
    whose = {"agent": [call.tenant, call.agent], "tenant": [call.tenant], "all": list[str]()}[scope]
    arguments = call.arguments
    if rule.ignore and isinstance(arguments, dict):
        named = cast("dict[str, Any]", arguments)
        arguments = {name: value for name, value in named.items() if name not in rule.ignore}
    return canonical([call.tool, whose, arguments, call.context])
