"""What a process that calls tools tells the world: what an operator should know, and the sum at the end, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from radixdeck.policies.events import FrontEvent, PolicySwitched, RulesRead, ToolMemoized, TunableChanged

Fact = FrontEvent | PolicySwitched | TunableChanged
WORDY = frozenset({"off", "proposed", "unsettled"})


class Report:
    """Takes facts. `say`: a line for whoever reads the log. `also`: takes them besides, once there is somebody."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.saved_s = 0.0
        self.also: Callable[[Fact], None] | None = None
        self._say = say

    def tell(self, fact: Fact) -> None:
        """Never blocks and never raises."""
        if isinstance(fact, ToolMemoized):
            self.counts[fact.what] += 1
            self.saved_s += fact.saved_s
            if fact.what in WORDY:
                self._say(f"tool {fact.tool} {fact.what}: {fact.why}")
        elif isinstance(fact, RulesRead) and not fact.ok:
            self._say(f"rules in {fact.path} cannot be used, the former ones hold: {fact.detail}")
        if self.also is not None:
            self.also(fact)

    def summary(self) -> str:
        """The sum, in words."""
        spared = self.counts["answered"] + self.counts["joined"] + self.counts["early_used"]
        begun = self.counts["early"]
        early = f"; {self.counts['early_used']} of {begun} early calls used" if begun else ""
        return (
            f"{spared} of {spared + self.counts['asked']} tool calls answered from memory, "
            f"{self.saved_s:.1f} s of tools saved; {self.counts['stored']} results kept, "
            f"{self.counts['invalidated']} times something changed, {self.counts['off']} tools off{early}"
        )
