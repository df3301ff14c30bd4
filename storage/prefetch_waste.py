"""What became of warmed tokens: found by a request, or for nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from .trie import Hashes, parting


@dataclass
class _Span:
    """Tokens `begin` to `end` (depths) of `hashes` that a warm-up computed and nobody has used yet."""

    hashes: Hashes
    begin: int
    end: int


class Waste:
    """Spans by agent. A token counts as used by the first request that finds it; one that a request misses is gone."""

    def __init__(self) -> None:
        self._spans: dict[str, list[_Span]] = defaultdict(list)

    def warmed(self, agent: str, hashes: Hashes, cached_tokens: int) -> None:
        """A warm-up put all of `hashes` behind the first `cached_tokens` into the cache."""
        self._missed(agent, hashes, cached_tokens)
        self._spans[agent].append(_Span(hashes, cached_tokens, len(hashes)))

    def asked(self, agent: str, hashes: Hashes, cached_tokens: int) -> int:
        """A request found so many of its tokens cached. Returns how many of them a warm-up had put there."""
        used = 0
        for span in self._spans.get(agent, ()):
            shared = _shared(span, hashes, cached_tokens)
            if shared > span.begin:
                used += shared - span.begin
                span.begin = shared
        self._missed(agent, hashes, cached_tokens)
        return used

    def _missed(self, agent: str, hashes: Hashes, cached_tokens: int) -> None:
        """Whatever lies deeper than what was found, on the way to `hashes`, was evicted."""
        spans = self._spans.get(agent)
        if not spans:
            return
        for span in spans:
            if cached_tokens < span.end and _shared(span, hashes, len(hashes)) > cached_tokens + 1:
                span.end = cached_tokens
        self._spans[agent] = [span for span in spans if span.begin < span.end]


def _shared(span: _Span, hashes: Hashes, most: int) -> int:
    """Leading tokens that a span's path and the first `most` hashes have in common."""
    end = min(span.end, most)
    if end <= 0 or span.hashes[0] != hashes[0]:
        return 0
    return parting(span.hashes, hashes, 1, end)
