"""Parity on the real engine: under `lru` every request of the same stream has as many cached tokens with our cache as
with SGLang's own default one (Rust core, no plug-in of ours at work)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.engine.protocol import Act, EngineSetup, Snapshot
from radixdeck.daemon.link import EngineLink
from radixdeck.demos.workloads import Turn, WorkloadSpec, generate
from radixdeck.policies.events import (
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    EventsDropped,
    NodeEvicted,
    PolicyFailed,
    PrefixMatched,
)
from radixdeck.policies.primitives import Action

KV_TOKENS = 3000
SEQUENTIAL = WorkloadSpec(
    seed=7, requests=500, anchor_tokens=(150, 400), task_tokens=(20, 40), remark_tokens=(10, 30),
    material_tokens=(40, 100), max_tokens=2,
)  # fmt: skip
ROUNDS, AT_ONCE = 40, 5


class Served(msgspec.Struct):
    """What one engine answered: cached tokens per request, sequential ones first; and what our plug-in reported."""

    cached: list[int]
    events: list[EngineEvent]
    log: str


def rounds() -> list[list[list[int]]]:
    """Batches of prompts that arrive at once. Within a batch no two share a prefix, so that it does not matter which
    of them SGLang happens to prefill together; across batches most of each prompt comes back."""
    rng = random.Random(5)
    histories = [[rng.randrange(10, 400) for _ in range(rng.randrange(100, 400))] for _ in range(12)]
    batches: list[list[list[int]]] = []
    for _ in range(ROUNDS):
        chosen = rng.sample(range(len(histories)), AT_ONCE)
        for number in chosen:
            histories[number] += [rng.randrange(10, 400) for _ in range(rng.randrange(1, 30))]
        batches.append([list(histories[number]) for number in chosen])
    return batches


async def ask(http: aiohttp.ClientSession, url: str, turn: Turn) -> int:
    body = {
        "model": "any",
        "messages": turn.messages,
        "tools": turn.tools,
        "max_tokens": turn.max_tokens,
        "temperature": 0,
        "custom_params": {"radixdeck": {"agent": turn.agent, "session": turn.session}},
    }
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        usage: Any = (await answer.json())["usage"]
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


async def ask_at_once(http: aiohttp.ClientSession, url: str, prompts: list[list[int]]) -> list[int]:
    params = [
        {
            "max_new_tokens": 4,
            "temperature": 0,
            "ignore_eos": True,
            "custom_params": {"radixdeck": {"agent": f"a{prompt[0] % 4}", "session": str(prompt[:4])}},
        }
        for prompt in prompts
    ]
    async with http.post(f"{url}/generate", json={"input_ids": prompts, "sampling_params": params}) as answer:
        assert answer.status == 200, await answer.text()
        return [each["meta_info"]["cached_tokens"] for each in await answer.json()]


@contextlib.asynccontextmanager
async def engine(cache: Any, endpoint: str, logs: Path, models: Path) -> AsyncIterator[str]:
    spec = EngineSpec(size="tiny", kv_tokens=KV_TOKENS, device="cpu", cache=cache)
    supervised = Engine(spec, EngineSetup(policies=["lru"]), endpoint, logs, models)
    running = asyncio.create_task(supervised.run())
    try:
        yield await supervised.wait_ready(240)
    finally:
        await supervised.stop()
        running.cancel()


async def serve(cache: str, folder: Path, models: Path) -> Served:
    events: list[EngineEvent] = []
    arrived = asyncio.Event()

    def take(_: int, batch: list[EngineEvent]) -> None:
        events.extend(batch)
        arrived.set()

    async def until(seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not seen():
                arrived.clear()
                await arrived.wait()

    link = EngineLink(f"ipc://{folder}/link", take, lambda _: None)
    listening = asyncio.create_task(link.run())
    cached: list[int] = []
    async with engine(cache, f"ipc://{folder}/link", folder / "logs", models) as url, aiohttp.ClientSession() as http:
        for turn in generate(SEQUENTIAL):
            cached.append(await ask(http, url, turn))
        for prompts in rounds():
            cached += await ask_at_once(http, url, prompts)
        if cache == "radixdeck":
            await until(lambda: len(dispatches(events)) == len(cached) and at_rest(events))
            await check_orders(link, dispatches(events)[-1].agent)
    listening.cancel()
    log = "".join(path.read_text(errors="replace") for path in (folder / "logs").iterdir())
    return Served(cached, events, log)


async def check_orders(link: EngineLink, agent: str) -> None:
    """An idle engine is woken by an order, and its answer says what the tree holds."""
    before = await link.order(Snapshot(link.new_id()))
    evicted = await link.order(Act(link.new_id(), Action("evict", agent=agent)))
    after = await link.order(Snapshot(link.new_id()))
    assert before.tokens <= KV_TOKENS
    assert 0 < evicted.tokens == before.tokens - after.tokens
    refused = await link.order(Act(link.new_id(), Action("evict", agent="nobody at all")))
    assert not refused.ok
    assert "nobody at all" in refused.detail


def dispatches(events: list[EngineEvent]) -> list[PrefixMatched]:
    """Those of the test: SGLang's warm-up request at start is nobody's."""
    return [event for event in events if isinstance(event, PrefixMatched) and event.agent]


def at_rest(events: list[EngineEvent]) -> bool:
    samples = [event for event in events if isinstance(event, EngineLoadSampled)]
    if not samples:
        return False
    last = samples[-1]
    return last.running == last.waiting == 0 and last.used_tokens == last.evictable_tokens


@pytest.mark.engine
@pytest.mark.timeout(600)
async def test_every_request_hits_as_with_sglangs_own_cache(tmp_path: Path, model_dir: Path) -> None:
    for side in ("stock", "ours"):
        (tmp_path / side).mkdir()
    stock = await serve("sglang", tmp_path / "stock", model_dir)
    ours = await serve("radixdeck", tmp_path / "ours", model_dir)
    assert "RustUnifiedTreeCore" in stock.log
    assert "ObservedTreeCore" in ours.log
    assert not stock.events

    assert ours.cached == stock.cached
    assert len(ours.cached) == SEQUENTIAL.requests + ROUNDS * AT_ONCE
    assert 0 < sum(count == 0 for count in ours.cached) < len(ours.cached)

    kinds = [type(event) for event in ours.events]
    assert kinds.count(NodeEvicted) > 200
    assert PolicyFailed not in kinds
    assert EventsDropped not in kinds
    assert kinds[0] is EngineStarted
    assert kinds.count(EngineLoadSampled) < 100
    matched = dispatches(ours.events)
    assert [event.cached_tokens for event in matched[: SEQUENTIAL.requests]] == ours.cached[: SEQUENTIAL.requests]
    assert sorted(event.cached_tokens for event in matched) == sorted(ours.cached)
