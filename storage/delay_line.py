"""A live stream, held back until each request in it is whole: a model must know at its start how a request ends.

Nothing in here grows with the stream: a request that is not heard of again is given up, and old prompts are forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from radixdeck.policies.events import AnyEvent, EngineStarted, PrefixInserted, PrefixMatched
from radixdeck.policies.reuse.shadow import REMEMBERED

from .demand import Lookup, Request
from .prompts import PromptBook
from .trie import Hashes

PATIENCE_S = 120.0
"""A request that runs longer than this lets go, for the model, once its prompt is in."""
MOST_WAITING = 50_000
"""Events held back at most."""
MOST_LOOKUPS = 20_000
KEEP = 4 * REMEMBERED
"""Prompts kept of requests that finished: others are told as what they repeat of one of the last REMEMBERED."""

Lookups = dict[Lookup, list[Request]]


class Fed(NamedTuple):
    """An event for a model. `request`: that of a PrefixMatched, None if it cannot be rebuilt; `last`: of a
    PrefixInserted, nothing more is heard of its request."""

    seq: int
    event: AnyEvent
    request: Request | None = None
    last: bool = False


@dataclass
class _Held:
    """An event in the line. `hashes`: of a match, as far as they are known; `inserted`: the last event about it."""

    seq: int
    event: AnyEvent
    hashes: Hashes | None = None
    open: bool = False
    inserted: _Held | None = None
    last: bool = False


class DelayLine:
    """Events go in by `take` and come out of `ready`, in order. `lookups`: by (engine starts, step) who was looked up
    in vain there, known as soon as the request comes at all; `with_warm`: warm-ups among them.

    `given_up`: requests that did not end in time; `left_out`: those whose prompt cannot be rebuilt.
    """

    def __init__(self) -> None:
        self.given_up = 0
        self.left_out = 0
        self.lookups: Lookups = {}
        self.with_warm: Lookups = {}
        self._book = PromptBook(KEEP)
        self._starts = 0
        self._now_ns = 0
        self._line: deque[_Held] = deque()
        self._open: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._line)

    def know(self, event: AnyEvent) -> None:
        """Learn the prompt of an event that is not to be fed: later ones refer to it."""
        if isinstance(event, PrefixMatched):
            self._book.matched(event)
        elif isinstance(event, PrefixInserted) and event.phase == "finish":
            self._book.finished(event)

    def take(self, seq: int, event: AnyEvent) -> None:
        """The next event of the stream."""
        held = _Held(seq, event)
        self._line.append(held)
        self._now_ns = max(self._now_ns, event.t_ns)
        match event:
            case PrefixMatched():
                self._match(held, event)
            case PrefixInserted():
                self._insert(held, event)
            case EngineStarted():
                self._starts += 1
                self._book.clear()
                for request in self._open.values():
                    self._give_up(request)
                self._open.clear()
            case _:
                pass

    def ready(self) -> Iterator[Fed]:
        """What can be fed now: everything before the first request that is not whole."""
        while self._line:
            head = self._line[0]
            if head.open:
                late = self._now_ns - head.event.t_ns > PATIENCE_S * 1e9 or len(self._line) > MOST_WAITING
                if not late:
                    return
                if isinstance(head.event, PrefixMatched):
                    self._open.pop(head.event.rid, None)
                self._give_up(head)
            self._line.popleft()
            yield Fed(head.seq, head.event, _request(head), head.last)

    def _match(self, held: _Held, event: PrefixMatched) -> None:
        held.hashes = self._book.matched(event)
        if held.hashes is None:
            self.left_out += 1
            return
        held.open = True
        before = self._open.pop(event.rid, None)
        if before is not None:
            self._give_up(before)
        self._open[event.rid] = held
        if event.refused:
            self._look_up(event, Request(event.rid, held.hashes, event.prompt_tokens, held.seq, 0, 0))

    def _look_up(self, event: PrefixMatched, request: Request) -> None:
        for lookups in (self.with_warm,) if event.warm else (self.lookups, self.with_warm):
            for step in event.refused:
                lookups.setdefault((self._starts, step), []).append(request)
            while len(lookups) > MOST_LOOKUPS:
                del lookups[next(iter(lookups))]

    def _insert(self, held: _Held, event: PrefixInserted) -> None:
        known = self._open.get(event.rid)
        final = self._book.finished(event) if event.phase == "finish" else None
        if known is None:
            return
        known.inserted = held
        if event.phase == "finish":
            known.hashes = known.hashes if final is None else final
            known.open, held.last = False, True
            del self._open[event.rid]

    def _give_up(self, held: _Held) -> None:
        """Not heard of again: as if it had let go when its prompt was in, or as if it had never been."""
        self.given_up += 1
        held.open = False
        if held.inserted is None:
            held.hashes = None
        else:
            held.inserted.last = True


def _request(held: _Held) -> Request | None:
    event = held.event
    if not isinstance(event, PrefixMatched) or held.hashes is None:
        return None
    end = held.inserted.seq if held.inserted is not None else held.seq
    return Request(
        rid=event.rid, hashes=held.hashes, prompt_tokens=event.prompt_tokens, start=held.seq, inserted=end, finish=end,
        cached_tokens=event.cached_tokens, agent=event.agent, warm=event.warm, refused=event.refused,
    )  # fmt: skip
