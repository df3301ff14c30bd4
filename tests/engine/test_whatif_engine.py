"""The modelled cache against the real engine: the same requests, the same policy, the same size, request by request.

For `lru` and other sizes see test_parity, whose requests are looked at in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import openai
import pytest
from modelled import check_model

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.demos.workloads import Turn, WorkloadSpec, generate

pytestmark = [pytest.mark.engine, pytest.mark.asyncio]

KV_TOKENS = 4_000
"""All that run at once fit, what is wanted again does not."""
CHUNK_TOKENS = 256
AT_ONCE = 4
FEW = WorkloadSpec(
    seed=11,
    requests=120,
    agents=5,
    anchor_tokens=(200, 450),
    task_tokens=(10, 40),
    remark_tokens=(10, 30),
    material_tokens=(30, 90),
    max_tokens=6,
)
MANY = msgspec.structs.replace(FEW, seed=12, agents=9)
"""As tight for those who ask one after the other as the others are for those who ask at once."""


async def play(daemon: Daemon, workload: WorkloadSpec, at_once: int) -> None:
    """Ask everything in order, so many requests at once."""
    client = openai.AsyncOpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=60)
    turns = iter(generate(workload))
    await asyncio.gather(*(ask_all(client, turns) for _ in range(at_once)))


async def ask_all(client: openai.AsyncOpenAI, turns: Iterator[Turn]) -> None:
    """Ask until there is nothing left that others have not asked."""
    for turn in turns:
        await ask(client, turn)


async def ask(client: openai.AsyncOpenAI, turn: Turn) -> None:
    await client.chat.completions.create(
        model="default",
        messages=turn.messages,  # pyright: ignore[reportArgumentType] - plain dicts
        max_tokens=turn.max_tokens,
        extra_headers={"x-agent-id": turn.agent, "x-session-id": turn.session},
    )


async def test_model_does_what_the_engine_did(tmp_path: Path) -> None:
    """First those who ask one after the other, then some at once."""
    config = DaemonConfig(
        node="whatif",
        port=0,
        home=str(tmp_path),
        engine=EngineSpec(
            device="cpu",
            size="tiny",
            kv_tokens=KV_TOKENS,
            sglang_args=("--chunked-prefill-size", str(CHUNK_TOKENS)),
        ),
        policy=PolicySection(enabled=["kv_caching"]),
    )
    async with open_daemon(config) as daemon:
        await daemon.engine.wait_ready(300)
        await play(daemon, MANY, 1)
        alone_ns = daemon.state.t_ns
        await play(daemon, FEW, AT_ONCE)
        path = daemon.recording
    gone = check_model(path, "kv_caching", MANY.requests + FEW.requests, CHUNK_TOKENS)
    alone = sum(event.t_ns <= alone_ns for event in gone)
    assert min(alone, len(gone) - alone) > 200, "the cache is tight enough for the order to matter"
