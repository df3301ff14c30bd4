"""A running daemon as demos and benchmarks use it: ready and warm, with a client on its bus to give it orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp

from radixdeck.console.feed_messages import ORDERS_ONLY
from radixdeck.console.feed_mqtt import MqttFeed
from radixdeck.daemon.broker import BrokerError
from radixdeck.daemon.config import ConfigError, DaemonConfig
from radixdeck.daemon.engine.launch import Engine, EngineNotReady
from radixdeck.daemon.front_errors import FrontError
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.daemon.wire import CommandName
from radixdeck.policies.residency import Totals
from radixdeck.storage.bound import Request
from radixdeck.storage.errors import StorageError

from .apart import DriveError, drive_apart
from .drive import Outcome, Plan
from .measure import Bound, bound_of, demand_of
from .progress import Progress
from .prompts import remark
from .workloads import Turn, WorkloadError

BOOT_TIMEOUT_S = 300.0
RECORDED_TRIES = 10
RECORDED_PERIOD_S = 0.3


class LiveError(RuntimeError):
    """The daemon would not do what the demo needs. The message carries its own words."""


EXPECTED = (
    BrokerError, ConfigError, DriveError, EngineNotReady, FrontError, LiveError, StorageError, WorkloadError,
    aiohttp.ClientError, OSError,
)  # fmt: skip
"""What can go wrong with a clear message of its own; anything else is a fault of this code."""


class Live:
    """A daemon with a ready engine, and a client on its bus."""

    def __init__(self, daemon: Daemon, feed: MqttFeed) -> None:
        self.daemon, self._feed = daemon, feed

    @property
    def base_url(self) -> str:
        return f"{self.daemon.url}/v1"

    @property
    def totals(self) -> Totals:
        """The run's counters as they are now."""
        return self.daemon.state.totals

    async def order(self, name: CommandName, arguments: dict[str, Any], why: str) -> None:
        """Give a command over MQTT, as the console does. Raises LiveError if it is refused."""
        reply = await self._feed.command(self.daemon.config.node, name, arguments, why)
        if reply.state != "done":
            raise LiveError(f"{name} {arguments}: {reply.state}: {reply.detail}")

    async def switch(self, policy: str) -> None:
        """Order the cache by `policy` and empty it."""
        await self.order("policy", {"name": policy, "enabled": True}, "demo: next policy on the same requests")
        await self.order("flush", {}, "demo: every policy starts with an empty cache")

    async def bound(self, outcomes: Sequence[Outcome]) -> Bound:
        """Belady's bound on the requests of one drive. Gives the recording a moment to hold them all: what the engine
        reports of a request ends a little after its answer."""
        rids = [outcome.rid for outcome in outcomes if not outcome.error]
        demand: list[Request] = []
        for _ in range(RECORDED_TRIES):
            await self.daemon.recorder.flush()
            demand = await asyncio.to_thread(demand_of, self.daemon.recording, rids)
            if len(demand) == len(rids):
                break
            await asyncio.sleep(RECORDED_PERIOD_S)
        return await asyncio.to_thread(bound_of, demand, self.daemon.state.capacity_tokens)


@asynccontextmanager
async def open_live(config: DaemonConfig, progress: Progress) -> AsyncGenerator[Live]:
    """A daemon whose engine is ready and warm. Raises LiveError, EngineNotReady, or what `open_daemon` raises."""
    try:
        async with (
            open_daemon(config) as daemon,
            MqttFeed(daemon.broker, config.node, keyframes=False, leaves=ORDERS_ONLY) as feed,
        ):
            await ready(daemon.engine, progress)
            live = Live(daemon, feed)
            await warm_up(live.base_url)
            await live.order("flush", {}, "demo: forget the warm-up")
            yield live
    except BaseExceptionGroup as group:
        raise _innermost(group) from group


def _innermost(error: BaseException) -> BaseException:
    """The one error of a group of one: a daemon's loops run in a task group, which wraps what ends them."""
    inner: Any = getattr(error, "exceptions", ())
    return _innermost(inner[0]) if len(inner) == 1 else error


async def ready(engine: Engine, progress: Progress) -> str:
    """URL of the engine, told step by step while it boots. Raises EngineNotReady."""
    waiting = asyncio.create_task(engine.wait_ready(BOOT_TIMEOUT_S))
    said = ""
    while not waiting.done():
        if engine.status.detail != said:
            said = engine.status.detail
            progress.say(f"  engine: {said}")
        await asyncio.wait([waiting], timeout=0.25)
    return waiting.result()


async def warm_up(base_url: str) -> None:
    """A few requests unlike any other, so that first-time costs of client, server and kernels are not measured."""
    turns = [
        Turn(
            session=f"warm-up-{n}",
            agent="warm-up",
            messages=[{"role": "user", "content": f"Warm-up {n}. {remark(Random(n), 400)}"}],
        )
        for n in range(4)
    ]
    outcomes = (await drive_apart(Plan(turns=turns), base_url, lambda _: None)).outcomes
    if failed := [outcome.error for outcome in outcomes if outcome.error]:
        raise LiveError(f"warm-up: {failed[0]}")
