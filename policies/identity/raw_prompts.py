"""Agents of callers that send raw prompts: where prompts of different conversations agree is an agent's anchor."""

from __future__ import annotations

import msgspec

from ..bounded import Bounded
from .prompts import RawKind, digest

KEPT = 8_192
"""Characters (or ids) of a prompt that are looked at; an anchor is not expected to be longer."""
LEAST: dict[RawKind, int] = {"text": 256, "opening": 256, "ids": 64}
"""How much two prompts must share, beyond what all share, to be the same agent's."""
SAME = 0.9
"""A prompt that shares this much of a known anchor belongs to it, and the anchor shrinks to what is shared."""


class RawAnchor(msgspec.Struct):
    """`name` stays when the anchor shrinks."""

    name: str
    text: str


class RawAnchors:
    """The anchors of one kind of raw prompt within one tenant.

    A prompt belongs to the longest known anchor it starts with. Two prompts without one that agree for `least`
    characters beyond what all prompts agree in, and then differ, define a new anchor. A prompt that only continues
    another is the same conversation grown longer and says nothing about an anchor. One agent alone stays without an
    anchor, because what it always says cannot be told from what the chat template always says.
    """

    def __init__(self, least: int, anchors: int = 64, recent: int = 32) -> None:
        self.least = least
        self._limit = anchors
        self._anchors: list[RawAnchor] = []
        self._recent: Bounded[str, bool] = Bounded(recent)
        self._shared: str | None = None

    def __len__(self) -> int:
        return len(self._anchors)

    @property
    def shared(self) -> int:
        """How many leading characters every prompt so far has in common."""
        return len(self._shared or "")

    def find(self, prompt: str) -> RawAnchor | None:
        """The anchor this prompt belongs to, or None. Learns from the prompt."""
        prompt = prompt[:KEPT]
        self._shared = prompt if self._shared is None else prompt[: common_length(self._shared, prompt)]
        return self._known(prompt) or self._shrunk(prompt) or self._new(prompt)

    def _known(self, prompt: str) -> RawAnchor | None:
        matching = [anchor for anchor in self._anchors if prompt.startswith(anchor.text)]
        return self._used(max(matching, key=lambda anchor: len(anchor.text))) if matching else None

    def _shrunk(self, prompt: str) -> RawAnchor | None:
        for anchor in self._anchors:
            length = common_length(anchor.text, prompt)
            if length >= max(SAME * len(anchor.text), self.shared + self.least):
                anchor.text = prompt[:length]
                return self._used(anchor)
        return None

    def _new(self, prompt: str) -> RawAnchor | None:
        for other in list(self._recent):
            length = common_length(other, prompt)
            if self.shared + self.least <= length < min(len(other), len(prompt)):
                self._recent.pop(other)
                text = prompt[:length]
                name = digest(text.encode("utf-8", "surrogatepass")).hex()
                return self._used(RawAnchor(name, text))
        self._recent.put(prompt, True)
        return None

    def _used(self, anchor: RawAnchor) -> RawAnchor:
        """Most recently used last; the first one goes when there are too many."""
        if anchor in self._anchors:
            self._anchors.remove(anchor)
        self._anchors.append(anchor)
        del self._anchors[: -self._limit]
        return anchor


def common_length(a: str, b: str) -> int:
    """Length of the longest common prefix, by bisection over slices (a comparison of slices is one memcmp)."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
