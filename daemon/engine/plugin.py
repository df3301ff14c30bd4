"""Entry point `sglang.srt.plugins`: what this package adds to SGLang's processes, through SGLang's own doors.

Registering names is all that happens unless RADIXDECK_LINK is set. Failures are logged here in words, because SGLang
only logs a plug-in's exception and goes on, and the user would merely read that the backend is not registered.
"""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from typing import Any

import msgspec

from radixdeck.policies.events import EngineStarted
from radixdeck.policies.host import PolicyHost

from . import cpu
from .protocol import BACKEND, ENV_LINK, ENV_SETUP, EngineSetup

log = logging.getLogger(__name__)


def load() -> None:
    """Called by SGLang in its main process and in every scheduler, before the hooks are applied."""
    _try("the CPU fill-ins could not be applied", cpu.fill_in)
    _try(f"--radix-cache-backend {BACKEND} is not available", _register)
    if os.environ.get(ENV_LINK):
        _try("the engine cannot be watched", _install_hooks)


def _try(failure: str, step: Any) -> None:
    try:
        step()
    except Exception:
        log.exception("radixdeck: %s", failure)


def _register() -> None:
    from sglang.srt.mem_cache import registry
    from sglang.srt.mem_cache.unified_cache import tree_core_registry

    if BACKEND not in registry.registered_radix_cache_backends():
        registry.register_radix_cache_backend(BACKEND, build)
    if BACKEND not in tree_core_registry.registered_tree_core_backends():
        tree_core_registry.register_tree_core_backend(BACKEND, _tree_core)


def _install_hooks() -> None:
    from . import hooks

    hooks.install()


def _tree_core(params: Any, components: Any) -> Any:
    from .radix_cache import make_tree_core

    return make_tree_core(params, components)


def build(ctx: Any) -> Any:
    """SGLang's radix-cache factory: our cache on the one rank that talks to the daemon, SGLang's own elsewhere."""
    from sglang.srt.mem_cache import registry

    from . import radix_cache

    endpoint = os.environ.get(ENV_LINK, "")
    ranks = _ranks(ctx)
    if not endpoint or not ranks.talks or not radix_cache.is_plain(ctx):
        if endpoint and ranks.talks:
            log.warning("radixdeck: this model or setting uses a cache of another kind; it is left alone, unseen")
        # All ranks of one cache must decide alike, so all of them run the Python tree core.
        ctx.params.tree_core_backend = "python" if endpoint and ranks.several else ctx.params.tree_core_backend
        return registry.default_radix_cache_factory(ctx)
    return _build_ours(ctx, endpoint, ranks)


class Ranks(msgspec.Struct, frozen=True):
    """`talks`: this process is the one the daemon hears. `several`: ranks share this cache's decisions."""

    rank: int
    talks: bool
    several: bool


def _ranks(ctx: Any) -> Ranks:
    from sglang.srt.runtime_context import get_parallel

    parallel: Any = get_parallel()
    rank, replica = int(ctx.tp_rank), int(parallel.dp_rank or 0)
    params = ctx.params
    if replica:
        log.warning("radixdeck: only the first data-parallel replica is watched, this is number %d", replica)
    talks = rank == 0 and params.pp_rank == 0 and params.attn_cp_rank == 0 and replica == 0
    return Ranks(rank, talks, ctx.tp_size > 1 or params.pp_size > 1 or params.attn_cp_size > 1)


def _build_ours(ctx: Any, endpoint: str, ranks: Ranks) -> Any:
    from radixdeck.policies.tree.observer import Observer

    from .control import Control
    from .hooks import Pump
    from .link import EngineSideLink
    from .radix_cache import make_cache
    from .stream import Stream

    setup = msgspec.json.decode(os.environ.get(ENV_SETUP) or "{}", type=EngineSetup)
    link = EngineSideLink(endpoint, ranks.rank, setup.max_buffered_events)
    stream = Stream(PolicyHost(setup.policies, setup.tunables), link.append)
    observer = Observer(stream, acts=not ranks.several)
    cache: Any = make_cache(ctx, observer)
    if ctx.params.eviction_policy.lower() != "lru":
        log.warning("radixdeck: --radix-eviction-policy %s is not used: policies decide", ctx.params.eviction_policy)
    if ranks.several:
        log.warning("radixdeck: several ranks share the cache: it is watched, and keeps SGLang's own eviction order")
    stream.emit(_started(ctx, stream, host_capacity_tokens(cache)))
    observer.started = True
    cache.radixdeck_pump = Pump(cache, link, Control(cache, observer))
    return cache


def _started(ctx: Any, stream: Any, host_tokens: int) -> EngineStarted:
    allocator = ctx.params.token_to_kv_pool_allocator
    return EngineStarted(
        t_ns=stream.now_ns(),
        pid=os.getpid(),
        model=str(ctx.model_config.model_path),
        capacity_tokens=int(allocator.size),
        page_size=int(ctx.params.page_size),
        policy=stream.host.slot_policy("eviction"),
        device=str(allocator.device),
        bytes_per_token=_bytes_per_token(allocator),
        sglang=version("sglang"),
        host_capacity_tokens=host_tokens,
        replicas=_replicas(),
    )


def _replicas() -> int:
    """How many data-parallel replicas SGLang spreads requests over, each with a cache of its own. With DP attention the
    tensor-parallel ranks are split among so many."""
    from sglang.srt.runtime_context import get_parallel

    parallel: Any = get_parallel()
    return max(1, int(parallel.dp_size or 1))


def host_capacity_tokens(cache: Any) -> int:
    """How much fits in the host tier; 0 if there is none, or host memory is only a buffer on the way to a store."""
    pools = getattr(cache, "host_pool_group", None)
    if pools is None or getattr(cache, "host_memory_mode", "") == "buffer_only":
        return 0
    return int(getattr(pools, "logical_size", 0))


def _bytes_per_token(allocator: Any) -> int:
    """Size of one token's keys and values over all layers, 0 if this kind of pool does not tell."""
    try:
        sizes: Any = allocator.get_kvcache().get_kv_size_bytes()
        return int(sum(sizes) // max(1, int(allocator.size)))
    except Exception:
        return 0
