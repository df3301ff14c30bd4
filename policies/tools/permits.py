"""Whether an agent may call a tool, asked where tools are called: by the rules of `safety`, and unless the operator
quarantined the agent. Budgets of requests and tokens are the daemon's own: a call of a tool is neither."""

from __future__ import annotations

from collections.abc import Iterable

from ..bounded import Bounded
from ..doorkeeping import Asked
from ..identity.declared import scoped
from ..safety import Safety
from .calls import ToolCall

MAX_NODES = 256
NO_AGENTS: frozenset[str] = frozenset()


class ToolPermits:
    """Without rules everybody may call everything. Rules that were read hold until others are. `here`: who is
    quarantined in this process; of other nodes only those take a place that have quarantined somebody."""

    def __init__(self) -> None:
        self.ruled = False
        self._safety = Safety()
        self.here = NO_AGENTS
        self._elsewhere: Bounded[str, frozenset[str]] = Bounded(MAX_NODES)

    def obey(self, rules: str) -> None:
        """See Ruled.obey."""
        self._safety.obey(rules)
        self.ruled = True

    def quarantined_at(self, node: str, agents: Iterable[str]) -> None:
        """All agents that are quarantined at another node, in place of those before."""
        if told := frozenset(agents):
            self._elsewhere.put(node, told)
        else:
            self._elsewhere.pop(node)

    def quarantine(self, agent: str, *, on: bool) -> None:
        """One agent is so in this process, or is not any more."""
        self.here = self.here | {agent} if on else self.here - {agent}

    def is_quarantined(self, agent: str) -> bool:
        """Here or at any node. `agent`: its full name, with its tenant's."""
        return agent in self.here or any(agent in agents for _, agents in self._elsewhere.items())

    def why_not(self, call: ToolCall) -> str:
        """Why this call must not be made, '' if it may."""
        agent = scoped(call.agent, call.tenant)
        if self.is_quarantined(agent):
            return f"agent {agent!r} is quarantined by the operator"
        why = self._safety.forbids(Asked(rid="", agent=agent, tenant=call.tenant, tools=(call.tool,)))
        return f"safety: {why}" if why else ""
