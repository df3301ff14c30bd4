"""The engine of a recording, modelled: a recorded event goes in, what would have happened comes out as events again.

Requests, hints and the clock are the recording's; the tree, its owners and every eviction are the model's. Policies,
ownership and the choice of victims are the code that runs inside SGLang.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

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
from radixdeck.policies.observer import Need, Observer
from radixdeck.policies.ownership import NOBODY, Who

from .demand import Request
from .model_cache import CHUNK_TOKENS, ModelCache, Phase, Running
from .model_tree import Node


class ModelStream:
    """The engine stream with the recording's clock, see policies.observer.Stream. `take` is handed every event."""

    def __init__(self, host: PolicyHost, take: Callable[[EngineEvent], None]) -> None:
        self.host = host
        self._take = take
        self._now_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, t_ns: int) -> None:
        """Time never runs backwards."""
        self._now_ns = max(self._now_ns, t_ns)

    def emit(self, event: EngineEvent) -> None:
        self._take(event)
        for fact in self.host.observe(event):
            self._take(fact)


class Asked(msgspec.Struct):
    """A request under way: how it came, who it is, what its coming told of its agent's anchor, when its prompt was in,
    and how it finished."""

    event: PrefixMatched
    who: Who
    anchor: AnchorMeasured | None
    prefilled_ns: int
    finish: PrefixInserted | None = None


class ObservedCache(ModelCache):
    """A modelled cache that reports what the engine's own reports, in the same order."""

    def __init__(self, stream: ModelStream, capacity_tokens: int, page_size: int, chunk_tokens: int) -> None:
        self.observer = Observer(stream)
        self.observer.started = True
        super().__init__(self.observer, capacity_tokens, page_size, chunk_tokens)
        self.asked: dict[int, Asked] = {}
        self._stream = stream

    def on_matched(self, running: Running) -> None:
        asked = self.asked[running.number]
        displaced = self.observer.ownership.meet(asked.who, running.pages.prompt * self.page_size)
        if displaced is not None:
            self.observer.close_session(displaced)
        if asked.anchor is not None:
            self.measured(asked.anchor)
        self._stream.emit(
            msgspec.structs.replace(
                asked.event,
                t_ns=self._stream.now_ns(),
                cached_tokens=running.inserted * self.page_size,
                host_tokens=0,
                node=running.node.id,
            )
        )
        self.observer.used(running.node, asked.who)

    def measured(self, event: AnchorMeasured) -> None:
        """The length of an agent's anchor is known."""
        self.observer.ownership.set_anchor(event.agent, event.tokens)
        self._stream.emit(event)

    def on_decoding(self, running: Running, share: float) -> None:
        asked = self.asked[running.number]
        if asked.finish is not None:
            self._stream.advance(asked.prefilled_ns + int(share * (asked.finish.t_ns - asked.prefilled_ns)))

    def on_inserted(self, running: Running, phase: Phase, new_pages: int, node: Node) -> None:
        asked = self.asked[running.number]
        self._stream.emit(
            PrefixInserted(
                t_ns=self._stream.now_ns(), rid=asked.who.rid, phase=phase, node=node.id,
                total_tokens=running.inserted * self.page_size, new_tokens=new_pages * self.page_size,
                output=asked.finish.output if phase == "finish" and asked.finish is not None else b"",
            )
        )  # fmt: skip
        self.observer.used(node, asked.who)
        if self._stream.host.splits_anchors:
            place = self.observer.straddling(node, asked.who.agent, self.page_size)
            if place is not None:
                self.tree.split_at(*place)

    def take(self, running: Running, pages: int) -> None:
        needs = [Need(self.asked[running.number].who, pages * self.page_size)]
        self.observer.ask_needs = lambda: needs
        super().take(running, pages)

    def _insert(self, running: Running, phase: Phase, length: int) -> None:
        asked = self.asked[running.number]
        if phase == "finish" and asked.finish is not None:
            self._stream.advance(asked.finish.t_ns)
        self.observer.inserting = asked.who
        super()._insert(running, phase, length)
        self.observer.inserting = NOBODY

    def flush(self) -> None:
        super().flush()
        self.asked.clear()
        self.observer.flushed()

    def evict_agent(self, agent: str, by: str) -> None:
        """What an operator's order to evict an agent does: all that is its alone and not in use, leaves first."""
        self.observer.cause = "operator" if by == "operator" else "policy"
        mine = [owned for owned in self.observer.ownership.nodes.values() if owned.agents == (agent,)]
        for owned in sorted(mine, key=lambda owned: -owned.start):
            self.taken_pages -= self.tree.remove(owned.node)
        self.observer.cause = "allocation"


class ModelEngine:
    """One engine after another if the recorded one was started again. `cached_tokens`: by the request's number."""

    def __init__(
        self,
        host: PolicyHost,
        policy: str,
        kv_tokens: int,
        take: Callable[[EngineEvent], None],
        chunk_tokens: int = CHUNK_TOKENS,
    ) -> None:
        self.cached_tokens: dict[int, int] = {}
        self._policy = policy
        self._kv_tokens = kv_tokens
        self._chunk_tokens = chunk_tokens
        self._stream = ModelStream(host, take)
        self._numbers: dict[str, int] = {}
        self._anchor: AnchorMeasured | None = None
        self._cache = self._new_cache(1)

    def matched(self, number: int, event: PrefixMatched, request: Request) -> None:
        """A request comes. `number`: what it is known by. The engine matches first and learns of the anchor then,
        although it says so first."""
        anchor = self._anchor if self._anchor is not None and self._anchor.agent == event.agent else None
        self._anchor = None if anchor is not None else self._anchor
        self._settle_anchor()
        self._stream.advance(event.t_ns)
        who = Who(event.rid, event.agent, event.session, event.tenant, warm=event.warm)
        self._numbers[event.rid] = number
        self._cache.asked[number] = Asked(event, who, anchor, event.t_ns)
        self.cached_tokens[number] = self._cache.start(number, request)

    def inserted(self, event: PrefixInserted, *, last: bool) -> None:
        """A chunk, the prompt or the output is computed. `last`: nothing more is heard of the request."""
        self._settle_anchor()
        number = self._numbers.get(event.rid)
        asked = self._cache.asked.get(number) if number is not None else None
        if number is None or asked is None:
            return
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
        self._stream.advance(event.t_ns)
        page_size = self._cache.page_size
        if event.total_tokens >= asked.event.prompt_tokens // page_size * page_size:
            asked.prefilled_ns = self._stream.now_ns()
            self._cache.prefilled(number)
        else:
            self._cache.chunk(number)

    def heard(self, event: EngineEvent) -> None:
        """Anything else that policies learn from."""
        self._settle_anchor()
        self._stream.advance(event.t_ns)
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
            case AnchorMeasured():
                self._anchor = event
            case _:
                if isinstance(event, SessionEnded):
                    self._cache.observer.close_session(event.session)
                self._stream.emit(event)

    def _settle_anchor(self) -> None:
        """An anchor was measured, and not by the request that came next."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            self._cache.measured(anchor)

    def _start(self, event: EngineStarted) -> None:
        self._cache = self._new_cache(max(1, event.page_size))
        self._stream.emit(
            msgspec.structs.replace(event, capacity_tokens=self._kv_tokens, policy=self._policy or event.policy)
        )

    def _new_cache(self, page_size: int) -> ObservedCache:
        self._numbers.clear()
        return ObservedCache(self._stream, self._kv_tokens, page_size, self._chunk_tokens)

    def _loaded(self, event: EngineLoadSampled) -> EngineLoadSampled:
        page_size, idle_pages = self._cache.page_size, self._cache.tree.idle_pages
        return msgspec.structs.replace(
            event,
            used_tokens=self._cache.taken_pages * page_size,
            evictable_tokens=idle_pages * page_size,
            capacity_tokens=self._kv_tokens,
        )

    def _acted(self, event: ActionTaken) -> None:
        """Actions on single nodes are passed over: the modelled tree has other nodes."""
        if event.node != NO_NODE:
            return
        if event.kind == "evict" and event.ok:
            self._cache.evict_agent(event.agent, event.by)
        self._stream.emit(event)
