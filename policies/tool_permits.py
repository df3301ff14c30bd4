"""Whether an agent may call a tool, asked where tools are called: by the rules of `safety`, and unless the operator
quarantined the agent. Budgets of requests and tokens are the daemon's own: a call of a tool is neither."""

from __future__ import annotations

from collections.abc import Iterable

from .bounded import Bounded
from .declared import scoped
from .doorkeeping import Asked
from .safety import Safety
from .tool_calls import ToolCall

MAX_NODES = 256
NO_AGENTS: frozenset[str] = frozenset()


class ToolPermits:
    """Without rules everybody may call everything. Rules that were read hold until others are."""

    def __init__(self) -> None:
        self.ruled = False
        self._safety = Safety()
        self._quarantined: Bounded[str, frozenset[str]] = Bounded(MAX_NODES)

    def obey(self, rules: str) -> None:
        """See Ruled.obey."""
        self._safety.obey(rules)
        self.ruled = True

    def quarantined_at(self, node: str, agents: Iterable[str]) -> None:
        """All agents that are quarantined at a node, in place of those before."""
        self._quarantined.put(node, frozenset(agents))

    def quarantine(self, node: str, agent: str, *, on: bool) -> None:
        """One agent is, or is not any more."""
        others = (self._quarantined.get(node) or NO_AGENTS) - {agent}
        self._quarantined.put(node, others | {agent} if on else others)

    def is_quarantined(self, agent: str) -> bool:
        """At any node. `agent`: its full name, with its tenant's."""
        return any(agent in agents for _, agents in self._quarantined.items())

    def why_not(self, call: ToolCall) -> str:
        """Why this call must not be made, '' if it may."""
        agent = scoped(call.agent, call.tenant)
        if self.is_quarantined(agent):
            return f"agent {agent!r} is quarantined by the operator"
        why = self._safety.forbids(Asked(rid="", agent=agent, tenant=call.tenant, tools=(call.tool,)))
        return f"safety: {why}" if why else ""
