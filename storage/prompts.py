"""Prompts out of a recording: each request's sequence of prefix hashes, rebuilt from what it shares with earlier ones.

Two sequences share exactly as many leading tokens as they share leading values. No text is needed or kept.
"""

from __future__ import annotations

import numpy as np

from radixdeck.policies.events import AnyEvent, PrefixInserted, PrefixMatched

from .demand import Request
from .trie import Hashes

NOTHING = np.empty(0, np.uint32)


MOST_UNFINISHED = 4096
"""Prompts kept at most that were never heard to finish, of a stream without end."""


class PromptBook:
    """Rebuilds sequences in stream order. It holds all of them, 4 bytes per token: any may be referred to again.

    `keep`: of those that finished only the last so many, for a stream without end. The engine refers to fewer, but to
    one that took long from when it finishes, whatever came meanwhile: what is under way is kept beside them.
    """

    def __init__(self, keep: int = 0) -> None:
        self._known: dict[str, Hashes] = {}
        self._over: dict[str, None] = {}
        self._keep = keep

    def matched(self, event: PrefixMatched) -> Hashes | None:
        """The prompt's hashes, uint32[prompt_tokens]; None if what it refers to is missing or lengths do not fit."""
        base = self._known.get(event.base_rid, NOTHING)[: event.base_tokens]
        tail = _hashes(event.tail)
        self._forget(event.rid)
        if len(base) != event.base_tokens or len(base) + len(tail) != event.prompt_tokens:
            return None
        return self._remember(event.rid, np.concatenate((base, tail)))

    def finished(self, event: PrefixInserted) -> Hashes | None:
        """The hashes of what lies in the tree at the finish, prompt first; None if the prompt is not known."""
        prompt = self._known.get(event.rid)
        if prompt is None:
            return None
        self._forget(event.rid)
        self._over[event.rid] = None
        whole = self._remember(event.rid, np.concatenate((prompt, _hashes(event.output))))
        return whole[: max(event.total_tokens, len(prompt))]

    def clear(self) -> None:
        """An engine starts: it refers to nothing of before."""
        self._known.clear()
        self._over.clear()

    def _remember(self, rid: str, hashes: Hashes) -> Hashes:
        self._known[rid] = hashes
        if self._keep and len(self._over) > self._keep:
            self._forget(next(iter(self._over)))
        if self._keep and len(self._known) - len(self._over) > MOST_UNFINISHED:
            self._forget(next(rid for rid in self._known if rid not in self._over))
        return hashes

    def _forget(self, rid: str) -> None:
        self._known.pop(rid, None)
        self._over.pop(rid, None)


def _hashes(data: bytes) -> Hashes:
    """Whole values only: a cut last one is left out."""
    return np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32, copy=False)


class Demand:
    """Collects the requests that were matched after event `after_seq`, from the engine stream in order.

    Warm-ups are not demand and are left out unless asked for, though others may refer to their prompts. A request that
    never reached the tree is left out too; one that was never seen to finish lets go when its prompt is in.
    """

    def __init__(self, after_seq: int = -1, warm_ups: bool = False) -> None:
        self._not_rebuilt = 0
        self._last_done = -1
        self._warm_ups = warm_ups
        self._after_seq = after_seq
        self._book = PromptBook()
        self._met: set[str] = set()
        self._strangers: set[str] = set()
        self._open: dict[str, _Open] = {}
        self._done: list[Request] = []

    def add(self, seq: int, event: AnyEvent) -> None:
        """Take the next event; kinds that do not matter here are passed over."""
        if isinstance(event, PrefixMatched):
            self._match(seq, event)
        elif isinstance(event, PrefixInserted):
            self._insert(seq, event)

    @property
    def left_out(self) -> int:
        """Requests that could not be rebuilt because events are missing, or in the file before. Prompts go in in the
        order in which they were matched: one that did not, although a later request has even finished, was lost or
        ended before. What went in without a match is a request too, or a warm-up: only its match would say."""
        lost = [known for known in self._open.values() if known.inserted is None and known.start < self._last_done]
        return self._not_rebuilt + len(lost) + len(self._strangers)

    def requests(self) -> list[Request]:
        """What was asked so far, in order of arrival."""
        pending = [known.closed() for known in self._open.values() if known.inserted is not None]
        return sorted([*self._done, *pending], key=lambda request: request.start)

    def _match(self, seq: int, event: PrefixMatched) -> None:
        hashes = self._book.matched(event)
        self._met.add(event.rid)
        counts = seq > self._after_seq and (self._warm_ups or not event.warm)
        if hashes is None:
            self._not_rebuilt += counts
        elif counts:
            self._open[event.rid] = _Open(seq, event, hashes)

    def _insert(self, seq: int, event: PrefixInserted) -> None:
        final = self._book.finished(event) if event.phase == "finish" else None
        known = self._open.get(event.rid)
        if known is None:
            if event.phase == "prompt" and seq > self._after_seq and event.rid not in self._met:
                self._strangers.add(event.rid)
            return
        known.last = seq
        if known.inserted is None:
            known.inserted = seq
        if final is None:
            known.last_chunk = seq
        if final is not None:
            known.hashes = final
            self._last_done = max(self._last_done, known.start)
            self._done.append(self._open.pop(event.rid).closed())


class _Open:
    """A request between its match and its finish."""

    def __init__(self, seq: int, event: PrefixMatched, hashes: Hashes) -> None:
        self.event = event
        self.hashes = hashes
        self.start = seq
        self.inserted: int | None = None
        self.last_chunk = 0
        self.last = seq

    def closed(self) -> Request:
        return Request(
            rid=self.event.rid,
            hashes=self.hashes,
            prompt_tokens=self.event.prompt_tokens,
            start=self.start,
            inserted=self.last if self.inserted is None else self.inserted,
            finish=self.last,
            cached_tokens=self.event.cached_tokens,
            agent=self.event.agent,
            warm=self.event.warm,
            refused=self.event.refused,
            last_chunk=self.last_chunk,
        )
