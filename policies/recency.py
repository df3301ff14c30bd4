"""How long LRU would keep what nobody uses: the time in which one cacheful of different tokens is used.

Estimated from lengths and repeats of prompts alone. Paths are told apart by the request that a prompt repeats, so wrong
names of agents and sessions do not mislead it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .events import PrefixMatched

MEMORY = 64
REFIT_EVERY = 8


@dataclass(frozen=True, slots=True)
class Use:
    """One dispatch: the path its prompt is on, how long that is, and how much of it is common to other paths."""

    t_ns: int
    rid: str
    agent: str
    path: int
    tokens: int
    common_tokens: int


class Recency:
    """The last dispatches, and from them `horizon_s`: seconds that LRU keeps something."""

    def __init__(self) -> None:
        self.capacity_tokens = 0
        self.horizon_s = float("inf")
        self._uses: deque[Use] = deque(maxlen=MEMORY)
        self._paths = 0
        self._dispatches = 0

    def dispatched(self, event: PrefixMatched) -> None:
        self._uses.append(self._use(event))
        self._dispatches += 1
        if self._dispatches % REFIT_EVERY == 0:
            self.horizon_s = self._horizon_s(event.t_ns)

    def _use(self, event: PrefixMatched) -> Use:
        """Extending most of a known path is to be on it; anything else branches off into a path of its own."""
        base = next((use for use in reversed(self._uses) if use.rid == event.base_rid), None)
        path, common_tokens = self._paths + 1, event.base_tokens if base else 0
        if base is not None and 2 * event.base_tokens > base.tokens + base.common_tokens:
            path, common_tokens = base.path, base.common_tokens
        self._paths = max(self._paths, path)
        return Use(event.t_ns, event.rid, event.agent, path, event.prompt_tokens, common_tokens)

    def _horizon_s(self, t_ns: int) -> float:
        room_tokens = self.capacity_tokens or float("inf")
        paths: set[int] = set()
        common: dict[str, int] = {}
        for use in reversed(self._uses):
            room_tokens -= max(0, use.common_tokens - common.get(use.agent, 0))
            common[use.agent] = max(use.common_tokens, common.get(use.agent, 0))
            if use.path not in paths:
                paths.add(use.path)
                room_tokens -= use.tokens - use.common_tokens
            if room_tokens < 0:
                return (t_ns - use.t_ns) / 1e9
        return float("inf")
