"""A modelled request stream: what callers ask and when, as the events that an engine would tell of it.

Requests keep their times whatever is cached (an open loop): every policy, LRU and Belady's bound see the same demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from radixdeck.policies.events import EngineEvent

from .atoms import PrefixHasher, Prompt, length
from .bound import Bound, Uses, lru_hits
from .demand import Request

NO_REQUEST = -1

Moment = tuple[EngineEvent, int]
"""An event and the number of the request that it belongs to, NO_REQUEST if it is about none."""


@dataclass(frozen=True)
class Content:
    """What a request says: its prompt, of which the first `anchor_atoms` atoms are its agent's anchor, and its output
    as it lies in the tree."""

    agent: str
    session: str
    prompt: Prompt
    output: Prompt
    anchor_atoms: int

    @property
    def anchor(self) -> Prompt:
        return self.prompt[: self.anchor_atoms]

    @property
    def tail(self) -> Prompt:
        return self.prompt[self.anchor_atoms :]


@dataclass(frozen=True)
class Reference:
    """What LRU and the best possible evictions give on a stream in one size of cache."""

    lru: Bound
    best: Bound

    @property
    def room_tokens(self) -> int:
        """Hits that are to be won over LRU."""
        return self.best.hit_tokens - self.lru.hit_tokens


@dataclass(frozen=True)
class Stream:
    """`moments`: in the order of their times. `requests[n].start`, `inserted` and `finish` are those times in
    nanoseconds; `contents[n]` is what request n says."""

    name: str
    requests: Sequence[Request]
    contents: Sequence[Content]
    moments: Sequence[Moment]
    hasher: PrefixHasher
    _references: dict[int, Reference] = field(default_factory=dict[int, Reference])
    _uses: list[Uses] = field(default_factory=list[Uses])

    @property
    def uses(self) -> Uses:
        if not self._uses:
            self._uses.append(Uses(self.requests, 1))
        return self._uses[0]

    @cached_property
    def working_set_tokens(self) -> int:
        """See Uses.working_set_tokens."""
        return self.uses.working_set_tokens()

    @cached_property
    def prompt_tokens(self) -> int:
        return sum(request.prompt_tokens for request in self.requests)

    @cached_property
    def anchor_share(self) -> float:
        """Share of prompt tokens that are anchors."""
        return sum(length(content.anchor) for content in self.contents) / max(1, self.prompt_tokens)

    def beside(self, other: Stream) -> Stream:
        """This stream, which shares with `other` what is computed of demand, if both ask the same at the same times:
        hints make no difference to LRU nor to the best evictions. As it is if they do not."""
        if not _same(self.requests, other.requests):
            return self
        return replace(self, requests=other.requests, _references=other._references, _uses=other._uses)

    def reference(self, kv_tokens: int) -> Reference:
        """LRU and Belady's bound, computed once per size. Raises ValueError for a size that is not above 0."""
        if kv_tokens <= 0:
            raise ValueError(f"{self.name}: a cache of {kv_tokens} tokens: give a size above 0")
        if kv_tokens not in self._references:
            self._references[kv_tokens] = Reference(lru_hits(self.requests, kv_tokens), self.uses.bound(kv_tokens))
        return self._references[kv_tokens]


def _same(one: Sequence[Request], other: Sequence[Request]) -> bool:
    return len(one) == len(other) and all(
        (left.start, left.inserted, left.finish, left.prompt_tokens)
        == (right.start, right.inserted, right.finish, right.prompt_tokens)
        and np.array_equal(left.hashes, right.hashes)
        for left, right in zip(one, other, strict=True)
    )
