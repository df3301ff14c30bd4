"""What choosing victims costs: SGLang's Python heap against our index, over the number of resident nodes.

`python -m radixdeck.daemon.engine.bench_victims`. Real caches on a real pool, no model; each measured call evicts one
leaf, as an allocation that is a few tokens short does. SGLang's default, the Rust core, is shown for scale.
"""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
import statistics
import time
from array import array
from typing import Any

from radixdeck.policies.host import PolicyHost
from radixdeck.policies.observer import Observer
from radixdeck.policies.ownership import NOBODY, Who

from .stream import Stream

SIZES = (1_000, 10_000, 100_000)
SUBJECTS = (24, 240)
LEAF_TOKENS = 2
CALLS = 50


def bare_parts(capacity_tokens: int) -> Any:
    """CacheInitParams of a cache on a pool of that many tokens, too thin to compute with."""
    import torch
    from sglang.srt.mem_cache.allocator import TokenToKVPoolAllocator
    from sglang.srt.mem_cache.cache_init_params import CacheInitParams
    from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool, ReqToTokenPool
    from sglang.srt.mem_cache.unified_cache.components import ComponentType

    pool = MHATokenToKVPool(
        size=capacity_tokens, page_size=1, dtype=torch.float32, head_num=1, head_dim=2, layer_num=1, device="cpu",
        enable_memory_saver=False,
    )  # fmt: skip
    allocator = TokenToKVPoolAllocator(
        capacity_tokens, dtype=torch.float32, device="cpu", kvcache=pool, need_sort=False
    )
    rows = ReqToTokenPool(size=64, max_context_len=4096, device="cpu", enable_memory_saver=False)
    return CacheInitParams(
        disable=False, req_to_token_pool=rows, token_to_kv_pool_allocator=allocator, page_size=1,
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


def fill(cache: Any, nodes: int, subjects: int) -> None:
    """`nodes` leaves under the root, spread over private histories of as many sessions as there are subjects."""
    from sglang.srt.mem_cache.base_prefix_cache import InsertParams
    from sglang.srt.mem_cache.radix_cache import RadixKey

    observer: Observer | None = getattr(cache, "observer", None)
    allocator = cache.token_to_kv_pool_allocator
    for number in range(nodes):
        if observer is not None:
            session = f"s{number % subjects}"
            observer.inserting = Who("", "agent", session)
            observer.ownership.meet(observer.inserting)
        key = RadixKey(array("q", [number + 1] * LEAF_TOKENS), None)
        cache.insert(InsertParams(key=key, value=allocator.alloc(LEAF_TOKENS)))
    if observer is not None:
        observer.inserting = NOBODY


def eviction_us(cache: Any) -> float:
    """Median time to evict one leaf."""
    from sglang.srt.mem_cache.base_prefix_cache import EvictParams

    spent: list[float] = []
    for _ in range(CALLS):
        start = time.perf_counter()
        cache.evict(EvictParams(num_tokens=1))
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e6


def main() -> None:
    from . import plugin

    plugin.load()
    print(
        f"{'nodes':>8} {'subjects':>8} {'ours':>10} {'SGLang, Python':>15} {'SGLang, Rust':>13}   us per evicted leaf"
    )
    for nodes in SIZES:
        capacity = nodes * LEAF_TOKENS + 16
        stock = {core: stock_cache(bare_parts(capacity), core) for core in ("python", "rust")}
        for cache in stock.values():
            fill(cache, nodes, 1)
        python, rust = (eviction_us(cache) for cache in stock.values())
        for subjects in SUBJECTS:
            ours = our_cache(bare_parts(capacity), Observer(Stream(PolicyHost(["kv_caching"]), lambda _: None)))
            fill(ours, nodes, subjects)
            print(f"{nodes:>8} {subjects:>8} {eviction_us(ours):>10.0f} {python:>15.0f} {rust:>13.0f}")


if __name__ == "__main__":
    main()
