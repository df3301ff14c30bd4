"""Results of read-only tools answered from memory, per agent, tool and arguments, as its rules declare (tools.rules).

Where tools are called (an MCP proxy, a decorator) its `memory` says what may be answered, and `early` which call to
make before it comes. In the daemon it watches the transcripts: with the same memory, in which only digests are, it says
what answering would have saved, and a declared tool that gave two results for one call within `ttl_s` is off. A tool
that is not declared is never answered, only proposed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec.structs import replace

from .bounded import Bounded
from .doorkeeping import BaseDoorkeeper, DoorFact, Heard, Left, ToolUse
from .events import EngineEvent, EngineStarted, ToolMemoized
from .parameters import Tunable
from .primitives import BasePolicy
from .tools.calls import Ticket, ToolCall
from .tools.early_calls import EarlyCalls
from .tools.memory import ToolMemory
from .tools.rules import MemoRules, read_memo_rules
from .tools.watch import Watch, Watched

MAX_SESSIONS, MAX_IDS = 4_096, 8_192
FEWEST_REPEATS = 4
"""As many equal repeats make a tool worth proposing."""


class Memoization(BaseDoorkeeper, BasePolicy):
    """Says nothing at the door. Without rules nothing is ever answered."""

    name: ClassVar[str] = "memoization"
    doc: ClassVar[str] = "Results of tools declared read-only answered from memory; transcripts tell what it is worth."
    declares: ClassVar[tuple[Tunable, ...]] = (
        Tunable("max_entries", 2048, 0, 1_000_000, "results", "So many results are kept, those used last"),
        Tunable("max_bytes", 64 << 20, 0, 1 << 40, "bytes", "So much memory for results and arguments"),
        Tunable("max_result_bytes", 1 << 20, 0, 1 << 40, "bytes", "A larger result is not kept"),
        Tunable("trials", 2, 0, 1000, "calls", "Repeats of a tool that have to agree before the first answer"),
        Tunable("audit_every", 20, 1, 1e9, "answers", "One in so many answers is asked of the tool all the same"),
        Tunable("propose_window_s", 60, 1, 86_400, "s", "Repeats within this time make a tool worth declaring"),
        Tunable("early_at_once", 2, 0, 64, "calls", "So many calls are on their way early at a time; 0: none"),
        Tunable("early_waste", 0.2, 0, 1, "calls per call", "So many early calls may be in vain for each that comes"),
        Tunable("early_worth", 1, 0, 100, "", "What an early call is expected to save, over what it may cost"),
        Tunable("early_least_s", 0.01, 0, 60, "s", "Early calls that are expected to save less are not made"),
    )

    heeds: ClassVar[tuple[type[EngineEvent], ...]] = (EngineStarted,)
    """Of the engine's events none is of use: one that comes once stands for none."""
    notes: ClassVar[tuple[type[DoorFact], ...]] = (Left,)

    def __init__(self) -> None:
        super().__init__()
        self.memory = ToolMemory(MemoRules(), self.tunables.__getitem__)
        self.early = EarlyCalls(self.memory, self.tunables.__getitem__)
        self.watch = Watch()
        self._saved: dict[str, int] = {}
        self._answered_s: Bounded[str, float] = Bounded(MAX_SESSIONS)
        self._known: Bounded[tuple[str, str, str], bool] = Bounded(MAX_IDS)

    def obey(self, rules: str) -> None:
        """See Ruled.obey. What was remembered is forgotten."""
        self.memory.obey(read_memo_rules(rules))
        self.early.obeyed()
        self._saved = {}

    def notice(self, fact: DoorFact) -> None:
        """See Doorkeeper.notice. Tools are called after an answer is over, never before."""
        if isinstance(fact, Left) and fact.entered and fact.asked.session:
            self._answered_s.put(fact.asked.session, fact.t_s)

    def hear(self, heard: Heard) -> list[ToolMemoized]:
        """See Hearer.hear. Calls of one answer have no order: what a change among them touches teaches nothing."""
        asked = heard.asked
        new = [use for use in heard.uses if self._first_time(asked.session, use)]
        began_s = self._answered_s.get(asked.session)
        tickets = [
            self.memory.ask(self._call(heard, use), heard.t_s).ticket
            for use in new
            if self.memory.rules.reader(use.tool) is None
        ]
        found: list[ToolMemoized] = []
        for use in new:
            counts = self.watch.saw(use, (asked.tenant, asked.agent), heard.t_s, self.tunables["propose_window_s"])
            if self.memory.rules.reader(use.tool) is None:
                found += self._proposed(heard, use.tool, counts)
            elif began_s is not None:  # else nobody knows how old the result may be
                found += self._learn(heard, use, began_s)
        for ticket in tickets:
            if ticket is not None:
                self.memory.answered(ticket, None, heard.t_s)
        return found

    def _first_time(self, session: str, use: ToolUse) -> bool:
        """A request that is tried again brings the same results."""
        key = (session, use.call_id, use.tool)
        return key not in self._known and self._known.put(key, True)

    def _call(self, heard: Heard, use: ToolUse) -> ToolCall:
        return ToolCall(tool=use.tool, arguments=use.arguments, agent=heard.asked.agent, tenant=heard.asked.tenant)

    def _learn(self, heard: Heard, use: ToolUse, began_s: float) -> list[ToolMemoized]:
        """What a declared tool really said, beside what memory has."""
        asked = self.memory.ask(self._call(heard, use), heard.t_s)
        result = None if use.failed else use.result
        if asked.ticket is not None:
            ticket: Ticket = asked.ticket
            kept = self.memory.answered(_began(ticket, began_s), result, heard.t_s)
            return [self._fact(heard, use.tool, "off", why=kept.why)] if kept.what == "off" else []
        if result is None:
            return []
        if result != asked.value:
            why = "transcripts hold two results of one call less than ttl_s apart, with no declared change in between"
            self.memory.switch_off(use.tool, why)
            return [self._fact(heard, use.tool, "off", why=why)]
        saved = self._saved[use.tool] = self._saved.get(use.tool, 0) + 1
        if not _is_round(saved):
            return []
        calls = self._calls(use.tool)
        why = f"memory would have answered {saved} of {calls} calls, each with what the tool said"
        return [self._fact(heard, use.tool, "worth", why=why, calls=saved)]

    def _proposed(self, heard: Heard, tool: str, counts: Watched) -> list[ToolMemoized]:
        if counts.different or counts.same < FEWEST_REPEATS or not _is_round(counts.same):
            return []
        window_s = self.tunables["propose_window_s"]
        why = f"{counts.same} of {counts.calls} calls repeated one within {window_s:g} s and got the same result; "
        why += "declare it if it changes nothing"
        return [self._fact(heard, tool, "proposed", why=why, calls=counts.same)]

    def _calls(self, tool: str) -> int:
        counts = self.watch.tools.get(tool)
        return counts.calls if counts else 0

    def _fact(self, heard: Heard, tool: str, what: Any, *, why: str, calls: int = 0) -> ToolMemoized:
        asked = heard.asked
        return ToolMemoized(
            t_ns=int(heard.t_s * 1e9), tool=tool, what=what, agent=asked.agent, session=asked.session,
            tenant=asked.tenant, why=why, calls=calls,
        )  # fmt: skip


def _began(ticket: Ticket, began_s: float) -> Ticket:
    """The ticket of a call that had begun by then at the earliest."""
    return replace(ticket, began_s=min(began_s, ticket.began_s))


def _is_round(count: int) -> bool:
    """1, 2, 4, 8 ...: what is told of a growing count."""
    return count & (count - 1) == 0
