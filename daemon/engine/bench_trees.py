"""Real caches for benchmarks: SGLang's own and ours, outside the scheduler, without a model, grown to any size.

A tree looks like agents at work: each agent's anchor below the root, below it one leaf for each turn of its sessions.
A session is a few turns of different agents; the youngest sessions are live, the others have ended.
"""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Literal

from radixdeck.policies.events import EngineEvent, EngineStarted, PrefixInserted, PrefixMatched, SessionEnded
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.observer import Observer
from radixdeck.policies.tree.ownership import NOBODY, Who

from .bench_clock import event_clock_s, reading_s
from .link import EngineSideLink
from .stream import Stream

NODE_TOKENS = 20
TURNS = 4
MOST_LIVE = 256
STEP_NS = 12_000_000
"""Between two requests of a made-up clock: more than a tick in which policies may keep what they computed."""
SLACK_TOKENS = 2_048
BATCH = 1_000
"""Leaves whose slots are allocated at once while a tree grows."""


def bare_parts(capacity_tokens: int, page_size: int = 1) -> Any:
    """CacheInitParams of a cache on a pool of that many tokens, too thin to compute with."""
    import torch
    from sglang.srt.mem_cache.allocator import PagedTokenToKVPoolAllocator, TokenToKVPoolAllocator
    from sglang.srt.mem_cache.cache_init_params import CacheInitParams
    from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool, ReqToTokenPool
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    pool = MHATokenToKVPool(
        size=capacity_tokens, page_size=page_size, dtype=torch.float32, head_num=1, head_dim=2, layer_num=1,
        device="cpu", enable_memory_saver=False,
    )  # fmt: skip
    kind = TokenToKVPoolAllocator
    if page_size > 1:
        kind = functools.partial(PagedTokenToKVPoolAllocator, page_size=page_size)
    allocator = kind(capacity_tokens, dtype=torch.float32, device="cpu", kvcache=pool, need_sort=False)
    rows = ReqToTokenPool(size=64, max_context_len=4096, device="cpu", enable_memory_saver=False)
    return CacheInitParams(
        disable=False, req_to_token_pool=rows, token_to_kv_pool_allocator=allocator, page_size=page_size,
        tree_components=(ComponentType.FULL,),
    )  # fmt: skip


def our_cache(params: Any, observer: Observer) -> Any:
    """An AgentRadixCache outside the scheduler."""
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    from .radix_cache import TREE_CORE, AgentRadixCache
    from .tree_core import ChosenFullComponent

    params.tree_core_backend = TREE_CORE
    params.component_registry_override = {ComponentType.FULL: functools.partial(ChosenFullComponent, observer=observer)}
    cache = AgentRadixCache(params, observer)
    observer.started = True
    return cache


def stock_cache(params: Any, core: str) -> Any:
    """SGLang's own cache with the tree core `core`."""
    from sglang.srt.mem_cache.unified_radix_cache import UnifiedRadixCache

    params.tree_core_backend = core
    return UnifiedRadixCache(params)


class TimedHost(PolicyHost):
    """`took_s`: while not None, what it needed to learn from each event, as (kind, seconds); working ahead counts for
    the event before it. The clock is only read then: it takes longer than some of what else is measured."""

    took_s: list[tuple[str, float]] | None = None

    def observe(self, event: EngineEvent) -> list[EngineEvent]:
        if self.took_s is None:
            return super().observe(event)
        begun_s = event_clock_s()
        facts = super().observe(event)
        self.took_s.append((type(event).__name__, event_clock_s() - begun_s - reading_s(event_clock_s)))
        return facts

    def catch_up(self) -> list[EngineEvent]:
        if not self.took_s:
            return super().catch_up()
        begun_s = event_clock_s()
        facts = super().catch_up()
        kind, seconds = self.took_s[-1]
        self.took_s[-1] = kind, seconds + event_clock_s() - begun_s - reading_s(event_clock_s)
        return facts


class Watched(Stream):
    """The engine's own stream on a clock of its own, before a link whose daemon is away. `took_s`: while not
    None, what the scheduler needed to say each event, as (kind, seconds); `deaf`: nobody hears what happens."""

    def __init__(self, host: TimedHost) -> None:
        link = EngineSideLink("inproc://nobody")
        link.close()  # nobody ever connects: events gather in it, and the oldest make room
        super().__init__(host, link.append)
        self.learner = host
        self.took_s: list[tuple[str, float]] | None = None
        self.deaf = False
        self._now_ns = 1_000_000_000

    def now_ns(self) -> int:
        return self._now_ns

    def step(self) -> None:
        self._now_ns += STEP_NS

    def emit(self, event: EngineEvent) -> None:
        if self.deaf:
            return
        if self.took_s is None:
            super().emit(event)
            return
        begun_s = event_clock_s()
        super().emit(event)
        self.took_s.append((type(event).__name__, event_clock_s() - begun_s - reading_s(event_clock_s)))


class Grown:
    """A cache with `nodes` nodes of as many agents. `stream`: None for SGLang's own caches, which hear of no agents;
    `node_tokens`: of each node."""

    def __init__(
        self,
        make: Callable[[Any], Any],
        nodes: int,
        agents: int,
        stream: Watched | None,
        node_tokens: int = NODE_TOKENS,
    ) -> None:
        self.node_tokens = node_tokens
        capacity_tokens = (nodes + 1) * node_tokens + SLACK_TOKENS
        self.cache = make(bare_parts(capacity_tokens))
        self.stream = stream
        self.agents = agents
        self._allocator = self.cache.token_to_kv_pool_allocator
        self._live = min(MOST_LIVE, agents)
        self._turns = 0
        self._anchors: list[tuple[Any, Any]] = []
        if stream is not None:
            stream.emit(EngineStarted(t_ns=stream.now_ns(), pid=1, model="", capacity_tokens=capacity_tokens,
                                      page_size=1, policy="kv_caching"))  # fmt: skip
        for _ in range(agents):
            self._add_anchor()
        learned = min(nodes - agents, max(2_000, 2 * TURNS * self._live))
        for left in range(nodes - agents, 0, -BATCH):
            for place, value in enumerate(self._values(min(left, BATCH))):
                self.serve(told=left - place <= learned, value=value)

    @property
    def free_tokens(self) -> int:
        return self._allocator.available_size()

    @property
    def turns(self) -> int:
        """Leaves left behind so far."""
        return self._turns

    @property
    def observer(self) -> Observer:
        return self.cache.observer

    def key(self, *numbers: int) -> Any:
        """A sequence of nodes, each a token repeated."""
        from sglang.srt.mem_cache.radix_cache import RadixKey

        return RadixKey(array("q", [number for number in numbers for _ in range(self.node_tokens)]), None)

    def _add_anchor(self) -> None:
        slots = self._allocator.alloc(self.node_tokens)
        agent = len(self._anchors)
        if self.stream is not None:
            self.observer.ownership.set_anchor(f"agent{agent}", self.node_tokens)
        result = self._insert(Who("", f"agent{agent}"), self.key(-1 - agent), slots)
        self._anchors.append((slots, result.last_device_node))

    def _values(self, turns: int) -> Sequence[Any]:
        """Slots of the anchor and of a new leaf, for each of the coming turns."""
        import torch

        coming = range(self._turns, self._turns + turns)
        anchors = torch.stack([self._anchors[number % self.agents][0] for number in coming])
        leaves = self._allocator.alloc(turns * self.node_tokens).view(turns, self.node_tokens)
        return torch.cat((anchors, leaves), dim=1).unbind()

    def serve(self, *, told: bool = True, value: Any = None) -> None:
        """One turn: a request that finds its agent's anchor and leaves a leaf behind it. `told`: whether policies hear
        of it, and learn when its answer is out; `value`: slots of both, None to allocate those of the leaf now."""
        if value is None:
            (value,) = self._values(1)
        number, agent = self._turns, self._turns % self.agents
        session, who, anchor = number // TURNS, self._coming(), self._anchors[agent][1]
        self._turns += 1
        if self.stream is not None:
            self.stream.deaf = not told
            self._begin(self.stream, who, anchor, told)
            if number % TURNS == 0 and session >= self._live:
                self._end(self.stream, f"session{session - self._live}", told)
        result = self._insert(who, self.key(-1 - agent, number), value)
        if self.stream is not None and told:
            self._finish(self.stream, who, result.last_device_node)
            self.stream.catch_up()

    def look_up(self) -> None:
        """The prompt of the coming turn is looked up, and its answer is not there yet."""
        if self.stream is not None:
            self.stream.deaf = False
            self._begin(self.stream, self._coming(), self._anchors[self._turns % self.agents][1], told=True)

    def _coming(self) -> Who:
        """Whose the coming turn is."""
        return Who(f"r{self._turns}", f"agent{self._turns % self.agents}", f"session{self._turns // TURNS}")

    def leaf_key(self, number: int, tokens: int) -> Any:
        """The first tokens of the path to the leaf of a turn."""
        return self.key(-1 - number % self.agents, number)[:tokens]

    def _insert(self, who: Who, key: Any, value: Any) -> Any:
        """All but the last node of a path are in the tree already, and are left as they are."""
        from sglang.srt.mem_cache.base_prefix_cache import InsertParams

        if self.stream is not None:
            self.observer.inserting = who
        known_tokens = len(value) - self.node_tokens
        result = self.cache.insert(InsertParams(key=key, value=value, prev_prefix_len=known_tokens))
        if self.stream is not None:
            self.observer.inserting = NOBODY
        return result

    def _begin(self, stream: Watched, who: Who, anchor: int, told: bool) -> None:
        self.observer.ownership.meet(who)
        if told:
            stream.step()
            stream.emit(
                PrefixMatched(
                    t_ns=stream.now_ns(), rid=who.rid, agent=who.agent, session=who.session, node=anchor,
                    prompt_tokens=2 * self.node_tokens, cached_tokens=self.node_tokens, anchor_tokens=self.node_tokens,
                )
            )  # fmt: skip
            self.observer.used(self.cache.tree_core.node_by_id(anchor), who)

    def _end(self, stream: Watched, session: str, told: bool) -> None:
        self.observer.close_session(session)
        if told:
            stream.emit(SessionEnded(t_ns=stream.now_ns(), session=session))

    def _finish(self, stream: Watched, who: Who, node: int) -> None:
        steps: tuple[tuple[Literal["prompt", "finish"], int], ...] = (("prompt", self.node_tokens), ("finish", 0))
        for phase, new_tokens in steps:
            stream.emit(
                PrefixInserted(
                    t_ns=stream.now_ns(), rid=who.rid, phase=phase, node=node, total_tokens=2 * self.node_tokens,
                    new_tokens=new_tokens,
                )
            )  # fmt: skip
            self.observer.used(self.cache.tree_core.node_by_id(node), who)
