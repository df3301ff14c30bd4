"""Where this layer is called from SGLang's scheduler: its own hook registry, no patched files.

Every hook looks for our cache first and does nothing without it; none of them lets an exception through.
"""

# SGLang ships no type stubs.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import zmq

from radixdeck.policies.events import EngineLoadSampled

from .control import Control
from .link import EngineSideLink
from .requests import Match

log = logging.getLogger(__name__)

FLUSH_PERIOD_S = 0.03
"""Between two deliveries of events while there is work; when it is done they go at once."""
SAMPLE_PERIOD_S = 1.0

SCHEDULER = "sglang.srt.managers.scheduler.Scheduler"
BATCH = "sglang.srt.managers.schedule_batch.ScheduleBatch"
ADDER = "sglang.srt.managers.schedule_policy.PrefillAdder"


class Pump:
    """Moves orders in and events out, from the scheduler's own loop."""

    def __init__(self, cache: Any, link: EngineSideLink, control: Control) -> None:
        self._cache = cache
        self._link = link
        self._control = control
        self._registered = False
        self._flushed_s = 0.0
        self._sampled_s = 0.0
        self._was_busy = False
        self._stale = False

    def turn(self, scheduler: Any) -> None:
        """One turn of the scheduler's loop begins."""
        self._wake_on_orders(scheduler)
        for order in self._link.orders():
            answer = self._control.obey(order)
            if answer.id:
                self._link.answer(answer)
            elif not answer.ok:
                log.warning("radixdeck: an order that nobody waits for was refused: %s", answer.detail)
        now = time.monotonic()
        if is_busy(scheduler):
            self._stale = True
            if now - self._sampled_s >= SAMPLE_PERIOD_S:
                self._sample(scheduler, now)

    def answered(self) -> None:
        """What a step computed is on its way to the callers; what happened goes out behind it, now and then. On a
        GPU SGLang's overlapping loop has begun the next batch by now; on a CPU that waits for what is learned here."""
        now = time.monotonic()
        if self._link.unsent and now - self._flushed_s >= FLUSH_PERIOD_S:
            self._flushed_s = now
            self._link.flush()
        self._cache.observer.stream.learn_some()

    def rest(self, scheduler: Any) -> None:
        """Nothing to do: the scheduler may sleep after this, so nothing is left unsent."""
        now = time.monotonic()
        over = self._was_busy or (self._stale and now - self._sampled_s >= SAMPLE_PERIOD_S)
        if over and not is_busy(scheduler):
            self._sample(scheduler, now)
        self._cache.observer.stream.catch_up()
        if self._link.unsent:
            self._link.flush()

    def _wake_on_orders(self, scheduler: Any) -> None:
        """A scheduler that sleeps when idle is woken by an order, as it is by a request."""
        if not self._registered:
            self._registered = True
            poller = getattr(getattr(scheduler, "idle_sleeper", None), "poller", None)
            if poller is not None:
                poller.register(self._link.socket, zmq.POLLIN)

    def _sample(self, scheduler: Any, now: float) -> None:
        self._sampled_s = now
        self._was_busy = self._stale = is_busy(scheduler)
        stream = self._cache.observer.stream
        allocator = self._cache.token_to_kv_pool_allocator
        evictable = int(self._cache.evictable_size())
        free = int(allocator.available_size())
        stream.emit(
            EngineLoadSampled(
                t_ns=stream.now_ns(), running=len(scheduler.running_batch.reqs), waiting=len(scheduler.waiting_queue),
                used_tokens=int(allocator.size) - free, evictable_tokens=evictable,
                capacity_tokens=int(allocator.size), step=self._cache.observer.step,
            )
        )  # fmt: skip


def is_busy(scheduler: Any) -> bool:
    return bool(scheduler.waiting_queue or scheduler.running_batch.reqs)


def our_cache(holder: Any) -> Any:
    """The AgentRadixCache of a scheduler, batch or prefill adder, None if it uses another cache."""
    cache = getattr(holder, "tree_cache", None)
    cache = getattr(cache, "inner", cache)
    return cache if hasattr(cache, "radixdeck_pump") else None


def quiet(hook: Callable[..., None]) -> Callable[..., None]:
    """Log what a hook raises, the first time, and go on without it."""
    failed = False

    @functools.wraps(hook)
    def run(*args: Any, **kwargs: Any) -> None:
        nonlocal failed
        try:
            hook(*args, **kwargs)
        except Exception:
            if not failed:
                failed = True
                log.exception("radixdeck: %s failed; the scheduler goes on", hook.__name__)

    return run


@quiet
def before_ingest(scheduler: Any, *_: Any, **__: Any) -> None:
    if (cache := our_cache(scheduler)) is not None:
        cache.radixdeck_pump.turn(scheduler)


@quiet
def after_result(_result: Any, scheduler: Any, *_: Any, **__: Any) -> None:
    if (cache := our_cache(scheduler)) is not None:
        cache.radixdeck_pump.answered()


@quiet
def before_idle(scheduler: Any, *_: Any, **__: Any) -> None:
    if (cache := our_cache(scheduler)) is not None:
        cache.radixdeck_pump.rest(scheduler)


@quiet
def admitted(_result: Any, adder: Any, req: Any, *_: Any, **__: Any) -> None:
    """A request was admitted to a prefill and its prefix is locked."""
    if (cache := our_cache(adder)) is not None:
        from_host = int(getattr(req, "host_loaded_length", 0) or 0)
        match = Match(len(req.prefix_indices) - from_host, from_host, req.last_node)
        cache.requests.dispatched(req, match, cache.tree_core)


def extended_tokens(req: Any) -> int:
    """None any more once SGLang took the request back (retracted, or preempted by priority)."""
    return 0 if req.extend_range is None else int(req.extend_range.length)


def one_token(_req: Any) -> int:
    return 1


@quiet
def note_needs(batch: Any, extending: bool, again: bool = False) -> None:
    """Remember for whom the coming allocation is."""
    if (cache := our_cache(batch)) is not None:
        cache.requests.allocating_for(batch.reqs, extended_tokens if extending else one_token, again=again)


def around_extend(original: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
    note_needs(batch, True)
    return original(batch, *args, **kwargs)


def around_decode(original: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
    """SGLang asks again, for some of the batch, while it takes requests out of a batch that does not fit."""
    note_needs(batch, False, again=bool(args or kwargs))
    return original(batch, *args, **kwargs)


def install() -> None:
    """Register the hooks with SGLang; it applies them once all plug-ins are loaded."""
    from sglang.srt.plugins import hook_registry

    registry: Any = hook_registry.HookRegistry
    when: Any = hook_registry.HookType
    register = registry.register
    register(f"{SCHEDULER}.ingest_requests", before_ingest, when.BEFORE)
    register(f"{SCHEDULER}.process_batch_result", after_result, when.AFTER)
    register(f"{SCHEDULER}.on_idle", before_idle, when.BEFORE)
    register(f"{ADDER}._req_inc_lock_ref", admitted, when.AFTER)
    register(f"{BATCH}.prepare_for_extend", around_extend, when.AROUND)
    register(f"{BATCH}.check_decode_mem", around_decode, when.AROUND)
