"""How many tokens of each agent and tenant are resident, kept up from the engine stream."""

from __future__ import annotations

from .events import NO_NODE, CacheFlushed, EngineEvent, EngineStarted, NodeAdded, NodeEvicted, NodeOwned, NodeSplit

NOBODY = ""
"""The agent of nodes that nobody said anything of."""


def tenant_of(agent: str) -> str:
    """Whose agent it is by its name, see `declared.scoped`; '' for the default tenant."""
    return agent.partition("/")[0] if "/" in agent else ""


class ResidentTokens:
    """Tokens by node, by agent and by tenant other than the default one. A node with several owners counts for each of
    them, and once for each of their tenants. `changes`: how often anything changed."""

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[int, tuple[str, ...]]] = {}
        self._agents: dict[str, int] = {}
        self._tenants: dict[str, int] = {}
        self.changes = 0

    def of(self, target: str | int) -> int:
        """Resident tokens of an agent (by name) or in a node (by id); 0 if unknown."""
        if isinstance(target, int):
            return self._nodes.get(target, (0, ()))[0]
        return self._agents.get(target, 0)

    def agents_above(self, tokens: float) -> frozenset[str]:
        """Who has more than that."""
        return frozenset([agent for agent, held in self._agents.items() if held > tokens])

    def tenants_above(self, tokens: float) -> frozenset[str]:
        """Whose agents have more than that together."""
        return frozenset([tenant for tenant, held in self._tenants.items() if held > tokens])

    def observe(self, event: EngineEvent) -> int:
        """Follow one event; returns the node that will not come back under its id, or NO_NODE. A flush says so of none:
        it also precedes a snapshot, which adds the same nodes again."""
        if type(event) is NodeAdded:
            self._put(event.node, event.tokens, (event.agent,) if event.agent else ())
        elif type(event) is NodeEvicted:
            return event.node if self._drop(event.node) else NO_NODE
        else:
            self._heard(event)
        return NO_NODE

    def _heard(self, event: EngineEvent) -> None:
        """What happens more seldom."""
        match event:
            case NodeSplit() if event.node in self._nodes:
                tokens, agents = self._nodes[event.node]
                upper_tokens = min(max(event.upper_tokens, 0), tokens)
                self._put(event.upper, upper_tokens, agents)
                self._put(event.node, tokens - upper_tokens, agents)
            case NodeOwned() if event.node in self._nodes:
                self._put(event.node, self._nodes[event.node][0], event.agents)
            case CacheFlushed() | EngineStarted():
                self._nodes.clear()
                self._agents.clear()
                self._tenants.clear()
                self.changes += 1
            case _:
                pass

    def _put(self, node: int, tokens: int, agents: tuple[str, ...]) -> None:
        if node in self._nodes:
            self._drop(node)
        self._nodes[node] = (tokens, agents)
        self._count(agents, tokens)

    def _drop(self, node: int) -> bool:
        """Whether it was known."""
        known = self._nodes.pop(node, None)
        if known is None:
            return False
        tokens, agents = known
        self._count(agents, -tokens)
        return True

    def _count(self, agents: tuple[str, ...], tokens: int) -> None:
        self.changes += 1
        for agent in agents or (NOBODY,):
            _add(self._agents, agent, tokens)
            if "/" in agent and len(agents) == 1:
                _add(self._tenants, tenant_of(agent), tokens)
        if len(agents) > 1:
            for tenant in {tenant_of(agent) for agent in agents if "/" in agent}:
                _add(self._tenants, tenant, tokens)


def _add(held: dict[str, int], name: str, tokens: int) -> None:
    """Nobody is kept who has nothing."""
    if (now := held.get(name, 0) + tokens) > 0:
        held[name] = now
    else:
        held.pop(name, None)
