"""Random agent traffic: shared preambles, anchors, interleaved sessions, prompts that extend and fork."""

from __future__ import annotations

import random
from typing import Any


class Workload:
    """Agents with shared preambles and anchors, several sessions each, prompts that extend and fork."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        preamble = self._text(10)
        self.anchors = [preamble + self._text(self.random.randrange(10, 50)) for _ in range(5)]
        self.histories: dict[tuple[int, int], list[int]] = {}

    def _text(self, tokens: int) -> list[int]:
        return [self.random.randrange(3, 1000) for _ in range(tokens)]

    def next(self) -> tuple[list[int], dict[str, Any], int]:
        agent, session = self.random.randrange(5), self.random.randrange(4)
        history = self.histories.setdefault((agent, session), [])
        if len(history) > 100 or self.random.random() < 0.05:
            history.clear()
        history += self._text(self.random.randrange(1, 15))
        who = {"agent": f"agent{agent}", "session": f"s{session}", "anchor": len(self.anchors[agent])}
        identity = who if self.random.random() < 0.9 else {}
        return self.anchors[agent] + history, identity, self.random.randrange(1, 6)
