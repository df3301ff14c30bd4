"""A real radix cache on a real KV pool of a few hundred slots, driven as SGLang's scheduler drives it, without a model.

SGLang's own Req, allocator, pools and cache; only the forward pass is missing, which the cache never sees.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from radixdeck.daemon.engine import bench_trees
from radixdeck.daemon.engine.stream import Stream
from radixdeck.policies.events import EngineEvent
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.observer import Observer

# Not imported yet: of the workers of a shared run one needs it, and it takes ten seconds of each.
if importlib.util.find_spec("sglang") is None:
    collect_ignore_glob = ["test_*.py"]
os.environ.setdefault("SGLANG_USE_CPU_ENGINE", "1")


@dataclass
class Bench:
    """A cache with its pool. `events`: what our cache reported, in order."""

    cache: Any
    allocator: Any
    rows: Any
    events: list[EngineEvent] = field(default_factory=list[EngineEvent])
    _rids: int = 0

    @property
    def observer(self) -> Any:
        return self.cache.observer

    def kinds(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def request(self, tokens: list[int], output: int = 3, **identity: Any) -> int:
        """Serve one request alone; returns its cached tokens, as SGLang counts them."""
        running = self.start(tokens, **identity)
        self.finish(running, output)
        return running.cached

    def start(self, tokens: list[int], extra_key: str | None = None, **identity: Any) -> Running:
        """Match, lock, allocate (evicting if need be) and insert the prompt."""
        req = self._new_req(tokens, extra_key, identity)
        req.init_next_round_input(self.cache)
        req.lock_receipt = self.cache.inc_lock_ref(req.last_node).to_dec_params()
        cached = len(req.prefix_indices)
        req.set_extend_range(cached, len(req.full_untruncated_fill_ids))
        (row,) = self.rows.alloc([req])
        if hasattr(self.cache, "requests"):
            self.cache.requests.allocating_for([req], lambda _: len(tokens) - cached)
        slots = self._allocate(len(tokens) - cached)
        self.rows.write((row, slice(0, cached)), req.prefix_indices)
        self.rows.write((row, slice(cached, len(tokens))), slots)
        req.kv.req_pool_idx = row
        req.kv.kv_committed_len = req.kv.kv_allocated_len = len(tokens)
        self.cache.cache_unfinished_req(req)
        return Running(req, cached)

    def finish(self, running: Running, output: int = 3) -> None:
        """Decode `output` tokens, then release; the last one has no KV, as in SGLang."""
        req = running.req
        first = req.origin_input_ids[-1]
        req.output_ids.extend((first * 31 + step) % 997 + 3 for step in range(output))
        done = len(req.origin_input_ids)
        if output > 1:
            slots = self._allocate(output - 1)
            self.rows.write((req.kv.req_pool_idx, slice(done, done + output - 1)), slots)
            done += output - 1
        req.kv.kv_committed_len = req.kv.kv_allocated_len = done
        self.cache.insert_req(req, up_to=done)
        self.cache.free_kv_row(req.kv, [(req.kv.cache_protected_len, done)])
        self.cache.unpin(req)
        self.cache.on_release(req, inserted=True)
        self.rows.free(req)

    def _new_req(self, tokens: list[int], extra_key: str | None, identity: dict[str, Any]) -> Any:
        from sglang.srt.managers.schedule_batch import Req
        from sglang.srt.sampling.sampling_params import SamplingParams

        self._rids += 1
        params = SamplingParams(max_new_tokens=8)
        if identity:
            params.custom_params = {"radixdeck": identity}
        return Req(f"r{self._rids}", "", array("q", tokens), params, extra_key=extra_key)

    def _allocate(self, tokens: int) -> Any:
        self.allocator.evict_to_free_tokens(self.cache, tokens)
        slots = self.allocator.alloc(tokens)
        assert slots is not None, "the pool is too small for this test"
        return slots


@dataclass
class Running:
    """A request between its prefill and its release."""

    req: Any
    cached: int


@pytest.fixture(scope="session", autouse=True)
def _context() -> None:
    from radixdeck.daemon.engine import plugin

    plugin.load()
    from sglang.srt.runtime_context import publish
    from sglang.srt.server_args import ServerArgs

    publish(ServerArgs(model_path="none", device="cpu"), role="scheduler")
    gc.freeze()  # SGLang's modules are there to the end


@pytest.fixture
def stock() -> Callable[..., Bench]:
    """SGLang's own cache: the Rust tree core and LRU by default."""

    def make(capacity: int = 300, core: str = "rust", policy: str = "lru") -> Bench:
        parts = bench_trees.bare_parts(capacity)
        parts.eviction_policy = policy
        return _bench(bench_trees.stock_cache(parts, core), [])

    return make


@pytest.fixture
def ours() -> Callable[..., Bench]:
    """Our cache with the given policies, or with a host made by the test."""

    def make(
        capacity: int = 300,
        policies: list[str] | None = None,
        host: Any = None,
        acts: bool = True,
        page_size: int = 1,
    ) -> Bench:
        events: list[EngineEvent] = []
        observer = Observer(Stream(host or PolicyHost(policies or ["lru"]), events.append), acts=acts)
        return _bench(bench_trees.our_cache(bench_trees.bare_parts(capacity, page_size), observer), events)

    return make


def _bench(cache: Any, events: list[EngineEvent]) -> Bench:
    return Bench(cache, cache.token_to_kv_pool_allocator, cache.req_to_token_pool, events)
