"""How many tokens of each agent are resident, kept up from the engine stream."""

from __future__ import annotations

from .events import CacheFlushed, EngineEvent, EngineStarted, NodeAdded, NodeEvicted, NodeOwned, NodeSplit


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

    def observe(self, event: EngineEvent) -> list[int]:
        """Follow one event; returns the nodes that will not come back under their id. A flush is not among them: it
        also precedes a snapshot, which adds the same nodes again."""
        match event:
            case NodeAdded():
                self._put(event.node, event.tokens, (event.agent,) if event.agent else ())
            case NodeSplit() if event.node in self._nodes:
                tokens, agents = self._nodes[event.node]
                upper_tokens = min(max(event.upper_tokens, 0), tokens)
                self._put(event.upper, upper_tokens, agents)
                self._put(event.node, tokens - upper_tokens, agents)
            case NodeOwned() if event.node in self._nodes:
                self._put(event.node, self._nodes[event.node][0], event.agents)
            case NodeEvicted() if event.node in self._nodes:
                self._drop(event.node)
                return [event.node]
            case CacheFlushed() | EngineStarted():
                self._nodes.clear()
                self._agents.clear()
            case _:
                pass
        return []

    def _put(self, node: int, tokens: int, agents: tuple[str, ...]) -> None:
        self._drop(node)
        self._nodes[node] = (tokens, agents)
        for agent in agents:
            self._agents[agent] = self._agents.get(agent, 0) + tokens

    def _drop(self, node: int) -> None:
        tokens, agents = self._nodes.pop(node, (0, ()))
        for agent in agents:
            left = self._agents.get(agent, 0) - tokens
            if left > 0:
                self._agents[agent] = left
            else:
                self._agents.pop(agent, None)
