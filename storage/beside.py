"""Policies beside each other on one growing stream, from the same moment on, and the curve of hit rate over memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from radixdeck.policies.events import (
    AnyEvent,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    EventsDropped,
    NodeAdded,
    PrefixInserted,
    PrefixMatched,
)

from .delay_line import DelayLine, Fed
from .miss_ratio import Curve, MissRatio
from .side import Side, SideSpec, SideView


class BesideView(NamedTuple):
    """`fed_seq`: the last event that the models have taken; `warm`: how far the modelled caches have filled, 1 once all
    in them came from the stream; `requests`: that the sides counted; `served_*`: what the engine really served of them.

    What the counts are not of: requests `given_up`, that were not heard to end in time, those `left_out`, whose prompt
    cannot be rebuilt, and whatever was in the `dropped` events, that are known to be missing."""

    sides: tuple[SideView, ...]
    curve: Curve | None
    fed_seq: int
    warm: float
    requests: int
    served_prompt_tokens: int
    served_cached_tokens: int
    given_up: int
    left_out: int
    dropped: int

    @property
    def served_rate(self) -> float | None:
        return self.served_cached_tokens / self.served_prompt_tokens if self.served_prompt_tokens else None


class Beside:
    """Events go in by `take`; the sides are fed as soon as requests are whole. `cold`: the stream is joined in mid-run,
    so that rates count only from when the modelled caches hold nothing but what came since, and those of the curve only
    from when a cache of their size does."""

    def __init__(self, specs: Sequence[SideSpec], kv_tokens: int, *, cold: bool) -> None:
        """Raises PolicyError or TunableError."""
        self.line = DelayLine()
        self.sides = [Side(spec, kv_tokens, self.line) for spec in specs]
        self._ratio = MissRatio(kv_tokens, cold=cold)
        self._kv_tokens = kv_tokens
        self._cold = cold
        self._fed_seq = -1
        self._requests = self._prompt = self._cached = 0
        self._dropped = 0
        self._flush: Fed | None = None

    @property
    def failed(self) -> bool:
        """Whether a side broke, so that the two cannot be compared any more."""
        return any(side.failed for side in self.sides)

    def know(self, event: AnyEvent) -> None:
        """An event of before the moment it begins at: only its prompt matters."""
        self.line.know(event)

    def take(self, seq: int, event: AnyEvent) -> None:
        """The next event."""
        if isinstance(event, EventsDropped):
            self._dropped += event.count
        self.line.take(seq, event)

    def work(self) -> Iterator[int]:
        """Feed what is ready, one event at a time; yields the number of each."""
        for fed in self.line.ready():
            for one in self._settled(fed):
                self._feed(one)
            self._fed_seq = fed.seq
            yield fed.seq

    def view(self, victims: int) -> BesideView:
        return BesideView(
            sides=tuple(side.view(victims) for side in self.sides),
            curve=self._ratio.curve(),
            fed_seq=self._fed_seq,
            warm=min(1.0, self._ratio.entered_tokens / self._kv_tokens) if self._cold else 1.0,
            requests=self._requests,
            served_prompt_tokens=self._prompt,
            served_cached_tokens=self._cached,
            given_up=self.line.given_up,
            left_out=self.line.left_out,
            dropped=self._dropped,
        )

    def _settled(self, fed: Fed) -> Iterator[Fed]:
        """The engine reports its whole tree anew as a flush with nodes behind it that no request made: no flush. So it
        is known with the next event what a flush was."""
        if not isinstance(fed.event, EngineEvent):
            yield fed
            return
        flush, self._flush = self._flush, None
        if flush is not None and not (isinstance(fed.event, NodeAdded) and not fed.event.rid):
            yield flush
        if isinstance(fed.event, CacheFlushed):
            self._flush = fed
        else:
            yield fed

    def _feed(self, fed: Fed) -> None:
        for side in self.sides:
            side.feed(fed)
        match fed.event:
            case PrefixMatched() as event:
                self._matched(fed, event)
            case PrefixInserted() as event:
                if event.phase == "finish" or fed.last:
                    self._ratio.ended(event.rid, event.total_tokens)
                else:
                    self._ratio.entered(event.rid, event.total_tokens)
            case EngineStarted() | CacheFlushed():
                self._ratio.clear()
            case _:
                pass

    def _matched(self, fed: Fed, event: PrefixMatched) -> None:
        request = fed.request
        if request is None:
            return
        self._ratio.asked(event.rid, request.hashes, request.prompt_tokens, event.cached_tokens, counts=not event.warm)
        if event.warm:
            return
        self._requests += 1
        self._prompt += event.prompt_tokens
        self._cached += event.cached_tokens
        if self._cold and self._ratio.entered_tokens >= self._kv_tokens:
            self._cold = False
            self._requests = self._prompt = self._cached = 0
            for side in self.sides:
                side.count_from_here()
