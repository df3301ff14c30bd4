"""Which anchor to prefill between steps: one that was evicted, of an agent likely to be dispatched soon, while the
engine has nothing else to do and the room it takes is worth less.
"""

from __future__ import annotations

import msgspec

from .events import (
    ActionTaken,
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    PrefixInserted,
    PrefixMatched,
)
from .primitives import Action
from .tags import tag_of

MIN_DISPATCHES = 30
PATIENCE_S = 10.0
"""A warm-up nobody confirmed after so long no longer counts as under way."""
PRICELESS = 1e3
"""No rate of reuse is above this: an evicted pin must not make everything look precious for long."""
MAX_AGENTS = 256
MOST_RUNNING = 4096


class Anchor(msgspec.Struct):
    """An agent's anchor: its length, whether a part of it is missing, and whether a warm-up awaits its use."""

    tokens: int = 0
    missing: bool = False
    warmed: bool = False


class WarmUps:
    """Knows which anchors are missing, whether the engine is idle, and how often warm-ups were of use."""

    def __init__(self) -> None:
        self.used = self.wasted = 0
        self._anchors: dict[str, Anchor] = {}
        self._running: set[int] = set()
        self._asked_s = -PATIENCE_S
        self._displaced = 0.0
        self._free_tokens = 0

    def observe(self, event: EngineEvent) -> None:
        match event:
            case PrefixMatched():
                self._matched(event)
            case PrefixInserted(phase="finish"):
                self._running.discard(tag_of(event.rid))
            case NodeAdded() if event.role == "anchor":
                self._added(event)
            case NodeEvicted():
                self._evicted(event)
            case AnchorMeasured():
                self._anchor(event.agent).tokens = event.tokens
            case CacheFlushed() | EngineStarted():
                self._lost_all(event)
            case EngineLoadSampled():
                self._sampled(event)
            case ActionTaken(kind="warm"):
                self._asked_s = -PATIENCE_S
            case _:
                pass

    def _anchor(self, agent: str) -> Anchor:
        anchor = self._anchors.pop(agent, None) or Anchor()
        self._anchors[agent] = anchor
        while len(self._anchors) > MAX_AGENTS:
            del self._anchors[next(iter(self._anchors))]
        return anchor

    def _matched(self, event: PrefixMatched) -> None:
        if len(self._running) < MOST_RUNNING:
            self._running.add(tag_of(event.rid))
        if not event.agent:
            return
        anchor = self._anchor(event.agent)
        anchor.tokens = event.anchor_tokens or anchor.tokens
        anchor.missing = False
        if event.warm:
            self._asked_s = -PATIENCE_S
            anchor.warmed = True
        elif anchor.warmed:
            anchor.warmed = False
            self._judge(event.cached_tokens >= 0.9 * anchor.tokens)

    def _added(self, event: NodeAdded) -> None:
        anchor = self._anchors.get(event.agent)
        if anchor is not None and event.start + event.tokens >= anchor.tokens:
            anchor.missing = False

    def _evicted(self, event: NodeEvicted) -> None:
        self._displaced += 0.1 * (min(event.score, PRICELESS) - self._displaced)
        if event.role not in ("anchor", "shared"):
            return
        for agent in event.agents:
            anchor = self._anchors.get(agent)
            if anchor is not None and event.start < anchor.tokens:
                anchor.missing = True
                if anchor.warmed:
                    anchor.warmed = False
                    self._judge(useful=False)

    def _judge(self, useful: bool) -> None:
        if useful:
            self.used += 1
        else:
            self.wasted += 1

    def _lost_all(self, event: EngineEvent) -> None:
        for anchor in self._anchors.values():
            anchor.missing, anchor.warmed = True, False
        if isinstance(event, EngineStarted):
            self._running.clear()

    def _sampled(self, event: EngineLoadSampled) -> None:
        self._free_tokens = event.capacity_tokens - event.used_tokens
        if event.running + event.waiting == 0:
            self._running.clear()

    def may_ask(self, dispatches: int, now_s: float, *, while_decoding: bool) -> bool:
        """Whether enough is known, the engine has nothing to do and no other warm-up is under way."""
        if dispatches < MIN_DISPATCHES or now_s - self._asked_s < PATIENCE_S:
            return False
        return while_decoding or not self._running

    def asked(self, now_s: float) -> None:
        """A warm-up is asked for."""
        self._asked_s = now_s

    def anchor_missing_tokens(self, agent: str) -> int:
        anchor = self._anchors.get(agent)
        return anchor.tokens if anchor is not None and anchor.missing else 0

    def price(self, tokens: int, gain: float, used: int, wasted: int) -> float:
        """The rate that such a warm-up must be worth: some times what it displaces, and more the more went to waste."""
        displaced = 0.0 if self._free_tokens >= tokens else self._displaced
        return displaced * gain * (2 + wasted) / (2 + used)

    def wanted(self, worth: dict[str, float], gain: float) -> Action | None:
        """The anchor to warm, if any. `worth`: rate of reuse per agent."""
        missing = [agent for agent, anchor in self._anchors.items() if anchor.missing and anchor.tokens]
        if not missing:
            return None
        agent = max(missing, key=lambda name: (worth.get(name, 0.0), name))
        tokens = self._anchors[agent].tokens
        price = self.price(tokens, gain, self.used, self.wasted)
        if worth.get(agent, 0.0) <= price:
            return None
        why = f"dispatched {worth[agent]:.2g}/s, displaces {price:.2g}/s"
        return Action("warm", agent=agent, amount=float(tokens), why=why)
