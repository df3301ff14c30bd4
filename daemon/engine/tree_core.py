"""SGLang's radix tree, watched: the Python tree core and its FULL component, reporting to an Observer and evicting the
nodes that it chooses. Only ever loaded inside SGLang's scheduler."""

# SGLang carries no type information that a strict checker can use.
# pyright: reportMissingTypeStubs=false, reportPrivateUsage=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportMissingTypeArgument=false

from __future__ import annotations

from typing import Any

from sglang.srt.mem_cache.unified_cache.components.base import CacheTransferPhase, ComponentType
from sglang.srt.mem_cache.unified_cache.components.full import FullComponent
from sglang.srt.mem_cache.unified_cache.unified_tree_core import UnifiedTreeCore

from radixdeck.policies.tree.observer import Observer


class LeafSet(set[Any]):
    """The set of evictable nodes that SGLang keeps; what enters and leaves it does so in the victim index too."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def add(self, node: Any) -> None:
        if node not in self:
            super().add(node)
            self._observer.evictable(node)

    def discard(self, node: Any) -> None:
        if node in self:
            super().discard(node)
            self._observer.not_evictable(node.id)

    def remove(self, node: Any) -> None:
        super().remove(node)
        self._observer.not_evictable(node.id)


class ObservedTreeCore(UnifiedTreeCore):
    """Tells the observer of every node that appears on the device or on the host, splits, moves or leaves."""

    def __init__(self, params: Any, components: dict[Any, Any], observer: Observer) -> None:
        self.observer = observer
        super().__init__(params, components)

    def reset(self) -> None:
        super().reset()
        self.evictable_device_leaves = LeafSet(self.observer)
        self.observer.flushed()

    def _add_new_node(self, parent: Any, *args: Any, **kwargs: Any) -> Any:
        node = super()._add_new_node(parent, *args, **kwargs)
        self.observer.added(node)
        return node

    def _split_node(self, key: Any, child: Any, split_len: int) -> Any:
        upper, action = super()._split_node(key, child, split_len)
        self.observer.split(child, upper)
        return upper, action

    def insert_host(self, *args: Any, **kwargs: Any) -> Any:
        """HiCache read from its storage into host memory."""
        result = super().insert_host(*args, **kwargs)
        node_id = result.inserted_host_node
        if node_id is not None and node_id not in self.observer.ownership.nodes:
            self.observer.added(self.node_by_id(node_id), on_host=True)
        return result

    def _remove_leaf_from_parent(self, node: Any) -> None:
        super()._remove_leaf_from_parent(node)
        self.observer.left(node, to_host=False)

    def _demote(self, node: Any, *args: Any, **kwargs: Any) -> None:
        super()._demote(node, *args, **kwargs)
        self.observer.left(node, to_host=True)

    def _unevict_node_on_insert(self, node: Any, *args: Any, **kwargs: Any) -> None:
        super()._unevict_node_on_insert(node, *args, **kwargs)
        self.observer.returned(node)

    def split_at(self, node: Any, tokens: int) -> tuple[Any, Any]:
        """Split `node` after its first `tokens` tokens. Returns the new node above it, and the action for the cache to
        apply, or None."""
        return self._split_node(node.key, node, tokens)


class ChosenFullComponent(FullComponent):
    """Evicts what the observer chooses. SGLang's own order is used while the observer is broken or only watches, and
    when SGLang's session-aware caching is on, whose order must not be mixed with ours."""

    tree_core: Any

    def __init__(self, cache: Any, params: Any, observer: Observer) -> None:
        super().__init__(cache, params)
        self.observer = observer
        self._may_choose = observer.acts and not cache.enable_session_radix_cache
        self._choosing = False
        self._last: Any = None
        self._set_aside: list[Any] = []

    def _evict_device_start(self, request_cnt: int) -> None:
        self._choosing = self.observer.forced is not None or (self._may_choose and not self.observer.broken)
        self._last = None
        if not self._choosing:
            super()._evict_device_start(request_cnt)
            return
        self._evict_device_request_cnt = request_cnt
        self._evict_device_last_node = None
        self._evict_device_heap = []
        self.observer.begin_eviction()

    def _evict_device_next_node(self, tracker: Any, device_frees: Any, host_frees: Any) -> int | None:
        if self._choosing:
            if tracker[ComponentType.FULL] >= self._evict_device_request_cnt:
                return None
            needed = self._evict_device_request_cnt - tracker[ComponentType.FULL]
            node = self._next_forced() if self.observer.forced is not None else self._next_choice(needed)
            if node is not None or not self.observer.broken:
                return node.id if node is not None else None
            self._choosing = False
            super()._evict_device_start(self._evict_device_request_cnt)
        return super()._evict_device_next_node(tracker, device_frees, host_frees)

    def _evict_device_end(self) -> None:
        super()._evict_device_end()
        for node in self._set_aside:
            if self._is_evictable(node):
                self.observer.evictable(node)
        self._set_aside, self._last = [], None

    def _next_choice(self, needed_tokens: int) -> Any:
        if self._last is not None and self._is_evictable(self._last):
            # Chosen but not evicted (no room on the host to back it up): not again in this call, or it never ends.
            self._set_aside.append(self._last)
            self.observer.not_evictable(self._last.id)
        choice = self.observer.choose()
        self._last = self._node(choice.node) if choice is not None else None
        if choice is not None and not self._is_evictable(self._last):
            self.observer.broken = True
            self.observer.report_failure("choose", LookupError(f"node {choice.node} is not evictable"))
            self._last = None
        self._trim(self._last, needed_tokens)
        return self._last

    def _trim(self, node: Any, needed_tokens: int) -> None:
        """Cut a victim where what may stay of it ends; the victim keeps its id. Both parts were used when all of it
        was: what stays, and the victim too if it cannot go. A node that is still being written to the host goes whole:
        cutting it is more than the tree's affair."""
        if node is None or node.write_through_pending_id is not None:
            return
        kept = self.observer.kept(len(node.key), needed_tokens, self.tree_core.page_size)
        if kept:
            used = node.last_access_time
            upper, _ = self.tree_core.split_at(node, kept)
            upper.last_access_time = node.last_access_time = used

    def _next_forced(self) -> Any:
        while self.observer.forced:
            node = self._node(self.observer.forced.popleft())
            if self._is_evictable(node):
                return node
        return None

    def _node(self, node_id: int) -> Any:
        return self.tree_core._node_arena.get(node_id)

    def _is_evictable(self, node: Any) -> bool:
        return node is not None and node in self.tree_core.evictable_device_leaves

    def commit_hicache_transfer(self, node: Any, phase: Any, transfers: Any = (), **kwargs: Any) -> None:
        super().commit_hicache_transfer(node, phase, transfers, **kwargs)
        if phase == CacheTransferPhase.LOAD_BACK and transfers and transfers[0].device_indices is not None:
            for node_id in transfers[0].nodes_to_load or []:
                self.observer.returned(self.tree_core.node_by_id(node_id))
