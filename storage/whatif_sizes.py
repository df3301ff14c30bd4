"""How large the cache of a what-if is: an engine that is started again may have another size each time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .bound import belady_bound
from .demand import Request
from .errors import WhatIfError
from .recorded import Recorded


class Size(NamedTuple):
    """`kv_tokens` whatever the engine had, or, if that is None, `times` what it had."""

    kv_tokens: int | None = None
    times: float = 1.0

    def of(self, own_tokens: int) -> int:
        """For an engine whose own cache held so many tokens."""
        return max(1, round(own_tokens * self.times)) if self.kv_tokens is None else self.kv_tokens

    def check(self) -> None:
        """Raises WhatIfError."""
        if self.kv_tokens is not None and self.kv_tokens <= 0:
            raise WhatIfError(f"a cache of {self.kv_tokens} tokens: give a size above 0")
        if not 0 < self.times < math.inf:
            raise WhatIfError(f"a cache {self.times:g} times as large: give a number above 0")


def check_known(size: Size, recorded: Recorded) -> None:
    """Raises WhatIfError where the size would follow from one that the recording does not tell."""
    if size.kv_tokens is None and not recorded.capacity_tokens:
        raise WhatIfError(f"{recorded.session.path} does not say how large the cache was: give a size in tokens")


@dataclass
class Piece:
    """The requests between two moments at which the cache was emptied, and the cache that they met: the largest, if it
    changed meanwhile. `chunk_tokens`: how much of a prompt was computed at once."""

    kv_tokens: int
    page_size: int
    chunk_tokens: int
    requests: list[Request] = field(default_factory=list[Request])

    def met(self, request: Request, kv_tokens: int) -> None:
        """The next request came, to a cache of that size."""
        self.requests.append(request)
        self.kv_tokens = max(self.kv_tokens, kv_tokens)


def best_tokens(pieces: Sequence[Piece]) -> int:
    """The most that any policy could have served, see belady_bound."""
    bounds = [belady_bound(one.requests, one.kv_tokens, one.page_size, one.chunk_tokens) for one in pieces]
    return sum(bound.hit_tokens for bound in bounds)
