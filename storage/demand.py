"""What a run asked of the cache: its requests, and the order in which they came, went in and left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .trie import Hashes

Step = Literal["start", "prefilled", "finish"]
STEPS: tuple[Step, ...] = ("start", "prefilled", "finish")


Lookup = tuple[int, int]
"""When a request was looked up: how often the engine had started by then, and the step it was at."""


@dataclass(frozen=True)
class Request:
    """One request. `hashes`: prefix hashes, uint32, one per token, prompt then output, as it lay in the tree at last.

    `start`: when it was matched and took its room; `inserted`: when others could match its prompt, or its first chunk;
    `last_chunk`: when the rest of the prompt was in the tree too, 0 if that was at once; `finish`: when its output was,
    and it let go. All are numbers on one common line. `cached_tokens`: what the engine really served. `warm`: a
    warm-up, which nobody waited for. `refused`: steps at which it was looked up in vain.
    """

    rid: str
    hashes: Hashes
    prompt_tokens: int
    start: int
    inserted: int
    finish: int
    cached_tokens: int = 0
    agent: str = ""
    warm: bool = False
    refused: tuple[int, ...] = ()
    last_chunk: int = 0

    @property
    def prefilled(self) -> int:
        """When all of its prompt was computed."""
        return max(self.inserted, self.last_chunk)


@dataclass(frozen=True)
class Pages:
    """A request in units of pages: a page is known by the hash of the prefix that ends with it. `matchable`: pages that
    the cache may serve; the last token of a prompt is always computed, and only whole pages are shared. `over`: tokens
    of the prompt behind its last whole page."""

    hashes: Hashes
    prompt: int
    matchable: int
    over: int


def in_pages(request: Request, page_size: int) -> Pages:
    """Raises ValueError if the request has fewer hashes than prompt tokens."""
    if len(request.hashes) < request.prompt_tokens:
        raise ValueError(f"request {request.rid!r}: {len(request.hashes)} hashes for {request.prompt_tokens} tokens")
    matchable = max(0, request.prompt_tokens - 1) // page_size
    prompt, over = divmod(request.prompt_tokens, page_size)
    return Pages(request.hashes[page_size - 1 :: page_size], prompt, matchable, over)


def steps_of(requests: Sequence[Request]) -> list[tuple[Step, int]]:
    """Every step of every request in order, as (step, index of the request). At one number starts come first."""
    moments = [(request.start, request.inserted, request.finish) for request in requests]
    return [(STEPS[rank], index) for rank, index in in_order(moments)]


def in_order(moments: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """What is first, second and so on of each, `moments[index][rank]`, as (rank, index) in the order of the moments. At
    one moment lower ranks come first."""
    timed = [(at, rank, index) for index, each in enumerate(moments) for rank, at in enumerate(each)]
    return [(rank, index) for _, rank, index in sorted(timed)]
