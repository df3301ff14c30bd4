"""Whether the policy's order beats LRU on this traffic, judged by duels.

Every eviction that LRU would have decided otherwise is a duel between the node that went and the node that LRU would
have taken. If the one that stayed is asked for first, the policy won; if the one that went is, while LRU would still
have had it, the policy lost. If it loses more tokens than it wins by a margin, LRU's order is used for a while; each
time for longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from .events import (
    NO_NODE,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NodeEvicted,
    NodeSplit,
    PrefixMatched,
)
from .recency import Recency

FADE = 0.5 ** (1 / 120)
"""Per dispatch: what is 120 dispatches old counts half."""
MAX_DUELS = 48
FIRST_REST = 100
LONGEST_REST = 1600
MIN_DISPATCHES = 60


@dataclass(frozen=True, slots=True)
class Duel:
    """`start` ... `used_s`: of the node that went (`session` of private history only). `kept`: LRU's victim."""

    start: int
    tokens: int
    agents: tuple[str, ...]
    session: str
    used_s: float
    kept: int


class Guard:
    """Duels under way, and the tokens won and lost lately. `resting`: dispatches for which LRU's order still holds."""

    def __init__(self) -> None:
        self.won_tokens = self.lost_tokens = self.prompt_tokens = 0.0
        self.resting = 0
        self._rest = FIRST_REST
        self._dispatches = 0
        self._duels: dict[int, Duel] = {}
        self._recency = Recency()

    def observe(self, event: EngineEvent, margin: float) -> None:
        """Follow one event. `margin`: share of prompt tokens that must be lost for LRU to take over."""
        match event:
            case PrefixMatched(warm=False):
                self._matched(event, margin)
            case NodeSplit():
                self._used(event.node)
            case NodeEvicted():
                self._evicted(event)
            case EngineStarted() | EngineLoadSampled():
                self._recency.capacity_tokens = event.capacity_tokens
            case _:
                pass
        if isinstance(event, (CacheFlushed, EngineStarted)):
            self._duels.clear()

    def _evicted(self, event: NodeEvicted) -> None:
        for node in [node for node, duel in self._duels.items() if duel.kept == event.node]:
            del self._duels[node]
        if event.instead == NO_NODE or event.cause != "allocation" or self.resting:
            return
        session = event.session if event.role == "private" else ""
        used_s = (event.t_ns - round(event.idle_s * 1e9)) / 1e9
        self._duels[event.node] = Duel(event.start, event.tokens, event.agents, session, used_s, event.instead)
        if len(self._duels) > MAX_DUELS:
            del self._duels[next(iter(self._duels))]

    def _matched(self, event: PrefixMatched, margin: float) -> None:
        self._dispatches += 1
        self.resting = max(0, self.resting - 1)
        self.won_tokens *= FADE
        self.lost_tokens *= FADE
        self.prompt_tokens = self.prompt_tokens * FADE + event.prompt_tokens
        self._used(event.node)
        self._missed(event)
        self._recency.dispatched(event)
        if self.lost_tokens - self.won_tokens > margin * self.prompt_tokens and self._dispatches > MIN_DISPATCHES:
            self._rest_now()

    def _used(self, kept: int) -> None:
        """LRU's victim is used: the policy was right to keep it."""
        for node in [node for node, duel in self._duels.items() if duel.kept == kept]:
            self.won_tokens += self._duels.pop(node).tokens

    def _missed(self, event: PrefixMatched) -> None:
        """What went is asked for: the policy was wrong, if LRU would still have had it."""
        reach_tokens = event.base_tokens if event.base_rid else event.prompt_tokens
        lru_since_s = event.t_ns / 1e9 - self._recency.horizon_s
        for node, duel in list(self._duels.items()):
            needed = event.cached_tokens <= duel.start < reach_tokens and event.agent in duel.agents
            if needed and duel.session in ("", event.session):
                del self._duels[node]
                if duel.used_s > lru_since_s:
                    self.lost_tokens += min(duel.tokens, reach_tokens - duel.start)

    def _rest_now(self) -> None:
        self.resting, self._rest = self._rest, min(2 * self._rest, LONGEST_REST)
        self.won_tokens = self.lost_tokens = 0.0
        self._duels.clear()
