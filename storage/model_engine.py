"""The engine of a recording, modelled: a recorded event goes in, what would have happened comes out as events again.

Requests, hints, the clock and the order of batches are the recording's; the tree, its owners and every eviction are the
model's. Policies, ownership and the choice of victims are the code that runs inside SGLang.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from radixdeck.policies.bounded import Bounded
from radixdeck.policies.events import (
    NO_NODE,
    ActionTaken,
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.tree.ownership import Ownership, Who

from .demand import Lookup, Request
from .model_cache import CHUNK_TOKENS
from .model_stream import ModelStream
from .observed_cache import Asked, ObservedCache

MOST_OTHERS = 4096
"""Requests that are not modelled and were not heard to finish: some never are."""


class ModelEngine:
    """One engine after another if the recorded one was started again. `cached_tokens`: by the request's number;
    `kv_tokens`: size of the cache now."""

    def __init__(
        self,
        host: PolicyHost,
        policy: str,
        kv_tokens: int,
        take: Callable[[EngineEvent], None],
        chunk_tokens: int = CHUNK_TOKENS,
        refused: Mapping[Lookup, list[Request]] | None = None,
    ) -> None:
        self.cached_tokens: dict[int, int] = {}
        self._policy = policy
        self.kv_tokens = kv_tokens
        self._chunk_tokens = chunk_tokens
        self._refused = refused or {}
        self._started = 0
        self._over_tokens = 0
        self._stream = ModelStream(host, take)
        self._numbers: dict[str, int] = {}
        self._others: Bounded[str, int] = Bounded(MOST_OTHERS)
        self._anchor: AnchorMeasured | None = None
        self._cache = self._new_cache(1)

    def ordered(self, event: EngineEvent) -> None:
        """An order that the recording does not have: the policies hear of it, and it disturbs nothing else."""
        self._stream.emit(event)

    def resize(self, kv_tokens: int) -> None:
        """Go on with a cache of another size; what is too much goes when room is needed next."""
        self.kv_tokens = kv_tokens
        self._cache.capacity_pages = kv_tokens // self._cache.page_size

    @property
    def over_tokens(self) -> int:
        """The most that was in use beyond the size of the cache, because running requests held all of it."""
        return max(self._over_tokens, self._cache.over_pages * self._cache.page_size)

    @property
    def used_tokens(self) -> int:
        return self._cache.taken_pages * self._cache.page_size

    @property
    def ownership(self) -> Ownership:
        return self._cache.observer.ownership

    def upcoming(self, number: int) -> list[tuple[int, Subject, Score]]:
        """The idle leaves that go first, with what scores them now; nothing changes by asking."""
        host = self._stream.host
        return self._cache.observer.index.upcoming(lambda subject: host.score(subject, host.now_ns / 1e9), number)

    def matched(self, number: int, event: PrefixMatched, request: Request) -> None:
        """A request comes. `number`: what it is known by. What it tells of its agent's anchor the engine learns after
        its look-up, although it says so before PrefixMatched."""
        anchor = self._anchor if self._anchor is not None and _told_by(event, self._anchor) else None
        self._anchor = None if anchor is not None else self._anchor
        self._pass_to(event, event.step)
        who = Who(event.rid, event.agent, event.session, event.tenant, warm=event.warm)
        self._numbers[event.rid] = number
        self._cache.asked[number] = Asked(event, who, anchor)
        begin = self._cache.match if event.step else self._cache.start
        self.cached_tokens[number] = begin(number, request)

    def passed_over(self, event: PrefixMatched) -> None:
        """A request came that is not modelled, though the recorded engine computed it."""
        self._settle_anchor()
        self._cache.reach(event.step)
        self._others.put(event.rid, event.prompt_tokens)
        self._cache.others_extend = bool(event.step)

    def inserted(self, event: PrefixInserted, *, last: bool) -> None:
        """A chunk, the prompt or the output is computed. `last`: nothing more is heard of the request."""
        number = self._numbers.get(event.rid)
        asked = self._cache.asked.get(number) if number is not None else None
        if number is None or asked is None:
            self._inserted_other(event)
            return
        self._pass_to(event, event.step)
        if event.phase == "finish":
            asked.finish = event
            self._cache.finish(number)
        else:
            self._prefill(number, asked, event)
            if last:
                self._cache.release(number)
        if event.phase == "finish" or last:
            del self._cache.asked[number], self._numbers[event.rid]

    def aborted(self, rid: str, t_ns: int) -> None:
        """A request goes before its prompt is in. The engine says that it finished, without anything new."""
        self._settle_anchor()
        self._stream.advance(t_ns)
        number = self._numbers.pop(rid, None)
        if number is None or self._cache.asked.pop(number, None) is None:
            return
        running = self._cache.running[number]
        self._cache.release(number)
        self._stream.emit(
            PrefixInserted(
                t_ns=self._stream.now_ns(), rid=rid, phase="finish", new_tokens=0,
                total_tokens=running.inserted * self._cache.page_size, node=running.node.id,
            )
        )  # fmt: skip

    def _prefill(self, number: int, asked: Asked, event: PrefixInserted) -> None:
        if self._is_whole(event, asked.event.prompt_tokens):
            self._cache.prefilled(number)
            return
        self._cache.chunk(number)
        if not event.step:
            self._cache.extend()

    def _inserted_other(self, event: PrefixInserted) -> None:
        self._settle_anchor()
        self._cache.reach(event.step)
        prompt_tokens = self._others.get(event.rid) or 0
        if event.phase == "finish":
            self._others.pop(event.rid)
        elif event.step and not self._is_whole(event, prompt_tokens):
            self._cache.others_extend = True

    def _is_whole(self, event: PrefixInserted, prompt_tokens: int) -> bool:
        return event.total_tokens >= prompt_tokens // self._cache.page_size * self._cache.page_size

    def _pass_to(self, event: EngineEvent, step: int) -> None:
        """Catch up with the recording, up to this event of it."""
        self._settle_anchor()
        self._cache.reach(step)
        self._stream.advance(event.t_ns)

    def heard(self, event: EngineEvent) -> None:
        """Anything else that policies learn from."""
        self._pass_to(event, getattr(event, "step", 0))
        match event:
            case EngineStarted():
                self._start(event)
            case CacheFlushed():
                self._cache.flush()
                self._numbers.clear()
            case EngineLoadSampled():
                self._stream.emit(self._loaded(event))
            case ActionTaken():
                self._acted(event)
            case AnchorMeasured(rid=""):
                self._cache.measured(event)
            case AnchorMeasured():
                self._anchor = event
            case _:
                if isinstance(event, SessionEnded):
                    self._cache.observer.close_session(event.session)
                self._stream.emit(event)

    def _settle_anchor(self) -> None:
        """An anchor was measured, and not told of by the request that came next."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            self._cache.measured(anchor)

    def _start(self, event: EngineStarted) -> None:
        self._started += 1
        self._over_tokens = self.over_tokens
        self._cache = self._new_cache(max(1, event.page_size))
        self._stream.emit(
            msgspec.structs.replace(event, capacity_tokens=self.kv_tokens, policy=self._policy or event.policy)
        )

    def _new_cache(self, page_size: int) -> ObservedCache:
        self._numbers.clear()
        self._others = Bounded(MOST_OTHERS)
        cache = ObservedCache(self._stream, self.kv_tokens, page_size, self._chunk_tokens)
        cache.refused_at = lambda step: self._refused.get((self._started, step), [])
        return cache

    def _loaded(self, event: EngineLoadSampled) -> EngineLoadSampled:
        page_size, idle_pages = self._cache.page_size, self._cache.tree.idle_pages
        return msgspec.structs.replace(
            event,
            used_tokens=self._cache.taken_pages * page_size,
            evictable_tokens=idle_pages * page_size,
            capacity_tokens=self.kv_tokens,
        )

    def _acted(self, event: ActionTaken) -> None:
        """Actions on single nodes are passed over: the modelled tree has other nodes."""
        if event.node != NO_NODE:
            return
        if event.kind == "evict" and event.ok:
            self._cache.evict_agent(event.agent, event.by)
        self._stream.emit(event)


def _told_by(event: PrefixMatched, anchor: AnchorMeasured) -> bool:
    """Whether the request told of the anchor. In older recordings: if it is of its agent and came right behind it."""
    return anchor.agent == event.agent if anchor.rid is None else anchor.rid == event.rid
