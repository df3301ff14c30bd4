"""The agent-aware radix cache: SGLang's UnifiedRadixCache with an observer on its tree, and how it is built."""

# SGLang carries no type information that a strict checker can use.
# pyright: reportMissingTypeStubs=false, reportPrivateUsage=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportMissingTypeArgument=false

from __future__ import annotations

import functools
import logging
from typing import Any

from sglang.srt.mem_cache import registry
from sglang.srt.mem_cache.unified_cache.components import ComponentType
from sglang.srt.mem_cache.unified_radix_cache import UnifiedRadixCache

from radixdeck.policies.tree.observer import Observer

from .requests import Match, RequestObserver, track_of
from .tree_core import ChosenFullComponent, ObservedTreeCore

log = logging.getLogger(__name__)

TREE_CORE = "radixdeck"


class AgentRadixCache(UnifiedRadixCache):
    """Serves exactly as its parent does; tells its observers which request each look-up and insert belongs to."""

    tree_core: Any

    def __init__(self, params: Any, observer: Observer) -> None:
        self.observer = observer
        self.requests = RequestObserver(observer)
        super().__init__(params)
        self.requests.page_size = self.page_size

    def match_prefix(self, params: Any) -> Any:
        result = super().match_prefix(params)
        if params.req is not None:
            found = Match(len(result.device_indices), result.host_hit_length, result.last_device_node)
            self.requests.matched(params.req, found)
        return result

    def insert(self, params: Any) -> Any:
        result = super().insert(params)
        track = self.requests.track
        if track is not None and track.inserted is None:
            total = len(params.key) // self.page_size * self.page_size
            track.inserted = (total, total - result.prefix_len, result.last_device_node)
        return result

    def cache_unfinished_req(self, req: Any, chunked: bool = False, **kwargs: Any) -> None:
        self.requests.dispatched(req, None, self.tree_core)
        with self.requests.inserting(req) as track:
            super().cache_unfinished_req(req, chunked=chunked, **kwargs)
        self.requests.inserted(req, "prompt", track, self.tree_core)
        self._split_at_anchor(req)

    def insert_req(self, req: Any, *, up_to: int, **kwargs: Any) -> None:
        self.requests.dispatched(req, None, self.tree_core)
        with self.requests.inserting(req) as track:
            super().insert_req(req, up_to=up_to, **kwargs)
        self.requests.inserted(req, "finish", track, self.tree_core)
        self._split_at_anchor(req)

    def evict(self, params: Any) -> Any:
        self.observer.expect(params.num_tokens)
        return super().evict(params)

    def evict_for_alloc(self, params: Any) -> Any:
        self.observer.expect(params.num_tokens)
        return super().evict_for_alloc(params)

    def _split_at_anchor(self, req: Any) -> None:
        """So that the tail behind an anchor can be evicted without it. A request that holds the lower part keeps its
        node id and its lock."""
        observer = self.observer
        if not observer.acts or observer.broken:
            return
        try:
            place = self.requests.straddling(track_of(req), self.tree_core, self.page_size)
        except Exception as error:
            observer.broken = True
            observer.report_failure("split_at_anchor", error)
            return
        if place is not None and observer.stream.host.splits_anchors:
            self._split_at(*place)

    def split_anchor(self, agent: str) -> None:
        """So that what is cached of an agent's anchor can be told from what follows it."""
        ours = self.observer.ownership.nodes
        for node in [owned.node for owned in ours.values() if agent in owned.agents and owned.on_device]:
            place = self.observer.straddling(self.tree_core.node_by_id(node), agent, self.page_size)
            if place is not None:
                self._split_at(*place)

    def _split_at(self, node: Any, tokens: int) -> None:
        _, action = self.tree_core.split_at(node, tokens)
        self._apply_cache_actions([] if action is None else [action])


def make_cache(ctx: Any, observer: Observer) -> Any:
    """Build the cache from SGLang's TreeCacheBuildContext."""
    params = ctx.params
    params.tree_core_backend = TREE_CORE
    params.component_registry_override = {
        **(params.component_registry_override or {}),
        ComponentType.FULL: functools.partial(ChosenFullComponent, observer=observer),
    }
    cache_class: Any = functools.partial(AgentRadixCache, observer=observer)
    return registry.create_unified_radix_cache(ctx, cache_class=cache_class)


def make_tree_core(params: Any, components: Any) -> ObservedTreeCore:
    """Registered with SGLang as tree core `radixdeck`; only usable beside our FULL component."""
    full = components[ComponentType.FULL]
    if not isinstance(full, ChosenFullComponent):
        raise TypeError("tree core 'radixdeck' is made by radix-cache backend 'radixdeck' only")
    return ObservedTreeCore(params, components, full.observer)


def is_plain(ctx: Any) -> bool:
    """Whether SGLang itself would use UnifiedRadixCache here; other kinds of cache are left alone."""
    from sglang.srt.runtime_context import get_memory

    memory = get_memory()
    special = memory.enable_lmcache or memory.enable_flexkv or memory.enable_unified_cache_external_linker
    pure_window = ctx.is_hybrid_swa and ctx.full_tokens_per_layer == 0
    return not (ctx.disable_radix_cache or special or pure_window)
