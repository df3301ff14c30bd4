"""What a process that calls tools tells the world: what an operator should know, and the sum at the end, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.events import ActionTaken, FrontEvent, PolicySwitched, RulesRead, ToolMemoized, TunableChanged

Fact = FrontEvent | PolicySwitched | TunableChanged | ActionTaken
MAX_SAID = 256
WORDY = frozenset({"off", "proposed", "unsettled", "forbidden"})


class Report:
    """Takes facts. `say`: a line for whoever reads the log. `also`: takes them besides, once there is somebody."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.saved_s = 0.0
        self.also: Callable[[Fact], None] | None = None
        self._say = say
        self._forbidden: Bounded[tuple[str, str], bool] = Bounded(MAX_SAID)

    def tell(self, fact: Fact) -> None:
        """Never blocks and never raises."""
        if isinstance(fact, ToolMemoized):
            self.counts[fact.what] += 1
            self.saved_s += fact.saved_s
            if fact.what in WORDY and self._is_news(fact):
                self._say(f"tool {fact.tool} {fact.what}: {fact.why}")
        elif isinstance(fact, RulesRead) and not fact.ok:
            self._say(f"rules in {fact.path} cannot be used, the former ones hold: {fact.detail}")
        if self.also is not None:
            self.also(fact)

    def _is_news(self, fact: ToolMemoized) -> bool:
        """Whoever tries what is forbidden again and again is said once: others read these lines too."""
        if fact.what != "forbidden":
            return True
        said = (fact.tool, fact.why)
        return said not in self._forbidden and self._forbidden.put(said, True)

    def summary(self) -> str:
        """The sum, in words."""
        spared = self.counts["answered"] + self.counts["joined"] + self.counts["early_used"]
        begun = self.counts["early"]
        more = f"; {self.counts['early_used']} of {begun} early calls used" if begun else ""
        more += f"; {self.counts['forbidden']} calls forbidden" if self.counts["forbidden"] else ""
        return (
            f"{spared} of {spared + self.counts['asked']} tool calls answered from memory, "
            f"{self.saved_s:.1f} s of tools saved; {self.counts['stored']} results kept, "
            f"{self.counts['invalidated']} times something changed, {self.counts['off']} tools off{more}"
        )
