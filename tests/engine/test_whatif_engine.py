"""The modelled cache against the real engine: the same requests, the same policy, the same size, request by request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import openai
import pytest

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.runtime import open_daemon
from radixdeck.demos.workloads import Turn, WorkloadSpec, generate
from radixdeck.policies.events import (
    AnyEvent,
    EngineEvent,
    Event,
    NodeAdded,
    NodeEvicted,
    NodeSplit,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.storage.session import Session, open_session
from radixdeck.storage.whatif import Recorded, what_if

pytestmark = [pytest.mark.engine, pytest.mark.asyncio]

KV_TOKENS = {1: 2_400, 4: 4_000}
"""By how many requests run at once: all of them fit, what is wanted again does not."""
CHUNK_TOKENS = 256
WORKLOAD = WorkloadSpec(
    seed=11,
    requests=120,
    agents=5,
    anchor_tokens=(200, 450),
    task_tokens=(10, 40),
    remark_tokens=(10, 30),
    material_tokens=(30, 90),
    max_tokens=6,
)

COMPARED: dict[type[Event], tuple[str, ...]] = {
    PrefixMatched: ("rid", "cached_tokens", "anchor_tokens"),
    PrefixInserted: ("rid", "phase", "total_tokens", "new_tokens"),
    NodeAdded: ("start", "tokens", "agent", "session", "role"),
    NodeSplit: ("upper_tokens",),
    NodeEvicted: ("start", "tokens", "agents", "role", "session", "by_rid", "score"),
}


async def recording_of(policy: str, at_once: int, home: Path) -> Path:
    """A daemon's recording of the workload, played in order, so many requests at once."""
    config = DaemonConfig(
        node="whatif",
        port=0,
        home=str(home),
        engine=EngineSpec(
            device="cpu",
            size="tiny",
            kv_tokens=KV_TOKENS[at_once],
            sglang_args=("--chunked-prefill-size", str(CHUNK_TOKENS)),
        ),
        policy=PolicySection(enabled=[policy]),
    )
    async with open_daemon(config) as daemon:
        await daemon.engine.wait_ready(300)
        client = openai.AsyncOpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0, timeout=60)
        turns = iter(generate(WORKLOAD))
        await asyncio.gather(*(ask_all(client, turns) for _ in range(at_once)))
        return daemon.recording


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


def served(session: Session) -> dict[int, int]:
    """What the real engine served from its cache, warm-ups included, by the number of the PrefixMatched."""
    found = session.events(0, 1_000_000, ("prefix_matched",))
    return {seq: event.cached_tokens for seq, event in found if isinstance(event, PrefixMatched)}


def spans(events: Iterable[AnyEvent], kind: type[Event]) -> list[tuple[object, ...]]:
    """What happened to the tree, by place and owner: nodes have other numbers in the model, and other clocks."""
    return [tuple(getattr(event, name) for name in COMPARED[kind]) for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(("policy", "at_once"), [("lru", 1), ("kv_caching", 1), ("kv_caching", 4)])
async def test_model_does_what_the_engine_did(policy: str, at_once: int, tmp_path: Path) -> None:
    """Every request is served the same, and every insert, split and eviction is the same, with the same score."""
    with open_session(await recording_of(policy, at_once, tmp_path)) as session:
        modelled: list[EngineEvent] = []
        recorded = Recorded(session)
        outcome = what_if(recorded, policy, take=modelled.append)
        happened = [event for _, event in session.events(0, 1_000_000)]
        real = served(session)
    assert len(outcome.cached_by_request) == len(real) >= WORKLOAD.requests
    assert outcome.cached_by_request == real
    assert recorded.chunk_tokens == CHUNK_TOKENS
    assert outcome.evictions > 200, "the cache is tight enough for the order to matter"
    assert outcome.recorded_tokens < outcome.bound_tokens
    for kind in COMPARED:
        assert spans(modelled, kind) == spans(happened, kind)
