"""How many tokens of each agent are resident, kept up from the engine stream."""

from __future__ import annotations

from .events import NO_NODE, CacheFlushed, EngineEvent, EngineStarted, NodeAdded, NodeEvicted, NodeOwned, NodeSplit


class ResidentTokens:
    """Tokens by node and by agent; a node with several owners counts for each of them."""

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[int, tuple[str, ...]]] = {}
        self._agents: dict[str, int] = {}

    def of(self, target: str | int) -> int:
        """Resident tokens of an agent (by name) or in a node (by id); 0 if unknown."""
        if isinstance(target, int):
            return self._nodes.get(target, (0, ()))[0]
        return self._agents.get(target, 0)

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
            case _:
                pass

    def _put(self, node: int, tokens: int, agents: tuple[str, ...]) -> None:
        if node in self._nodes:
            self._drop(node)
        self._nodes[node] = (tokens, agents)
        for agent in agents:
            self._agents[agent] = self._agents.get(agent, 0) + tokens

    def _drop(self, node: int) -> bool:
        """Whether it was known."""
        known = self._nodes.pop(node, None)
        if known is None:
            return False
        tokens, agents = known
        for agent in agents:
            left = self._agents.get(agent, 0) - tokens
            if left > 0:
                self._agents[agent] = left
            else:
                self._agents.pop(agent, None)
        return True
