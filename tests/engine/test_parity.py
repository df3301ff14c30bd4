"""Parity on the real engine: under `lru` every request of the same stream has as many cached tokens with our cache as
with SGLang's own default one (Rust core, no plug-in of ours at work); and the modelled cache does what ours did. Our
engine is stopped then, and leaves nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from modelled import check_model
from processes import alive, family_of
from supervised import KV_TOKENS, Supervised
from whole.stage import all_owned, idle, settled

from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.hooks import SAMPLE_PERIOD_S
from radixdeck.daemon.engine.launch import EngineStatus
from radixdeck.daemon.runtime import open_daemon
from radixdeck.demos.workloads import Turn, WorkloadSpec, generate
from radixdeck.policies.events import (
    AnyEvent,
    EngineLoadSampled,
    EngineStarted,
    EventsDropped,
    NodeEvicted,
    PolicyFailed,
    PrefixMatched,
)
from radixdeck.policies.residency import RunState
from radixdeck.storage.session import open_session

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

SEQUENTIAL = WorkloadSpec(
    seed=7, requests=150, anchor_tokens=(150, 400), task_tokens=(20, 40), remark_tokens=(10, 30),
    material_tokens=(40, 100), max_tokens=2,
)  # fmt: skip
ROUNDS, AT_ONCE = 16, 5


class Served(msgspec.Struct):
    """What our engine answered: cached tokens per request, sequential ones first; what our plug-in reported; and after
    its daemon was stopped its status, its URL and which of its processes were still there, of those in `family`."""

    cached: list[int]
    events: list[AnyEvent]
    log: str
    recording: Path
    stopped: EngineStatus
    url: str | None
    family: set[str]
    left: list[str]


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


async def ask_everything(url: str) -> list[int]:
    async with aiohttp.ClientSession() as http:
        cached = [await ask(http, url, turn) for turn in generate(SEQUENTIAL)]
        for prompts in rounds():
            cached += await ask_at_once(http, url, prompts)
    return cached


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ours(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Of a whole daemon, whose engine is asked without its front, as SGLang's own is."""
    config = DaemonConfig(
        node="parity",
        port=0,
        home=str(tmp_path_factory.mktemp("parity")),
        engine=EngineSpec(size="tiny", kv_tokens=KV_TOKENS, device="cpu"),
        policy=PolicySection(enabled=["lru"]),
    )
    async with open_daemon(config) as daemon:
        cached = await ask_everything(await daemon.engine.wait_ready(240))
        await settled(daemon, lambda state: at_rest(state, len(cached)), timeout_s=10)
        family = family_of(daemon.engine)
    left = [name for name, process in family.items() if alive(process)]
    with open_session(daemon.recording) as session:
        events = [event for _, event in session.events(0, 1_000_000)]
    log = "".join(path.read_text(errors="replace") for path in daemon.paths.logs.iterdir() if path.is_file())
    engine = daemon.engine
    return Served(cached, events, log, daemon.recording, engine.status, engine.url, set(family), left)


def at_rest(state: RunState, requests: int) -> bool:
    told = sum(agent.dispatches for name, agent in state.agents.items() if name)
    return told >= requests and idle(state) and all_owned(state)


def dispatches(events: list[AnyEvent]) -> list[PrefixMatched]:
    """Those of the test: SGLang's warm-up request at start is nobody's."""
    return [event for event in events if isinstance(event, PrefixMatched) and event.agent]


@pytest.mark.timeout(600)
async def test_every_request_hits_as_with_sglangs_own_cache(stock: Supervised, ours: Served) -> None:
    await stock.flush()
    cached = await ask_everything(stock.url)
    assert "RustUnifiedTreeCore" in stock.log
    assert "ObservedTreeCore" in ours.log
    assert not stock.heard

    assert ours.cached == cached
    assert len(ours.cached) == SEQUENTIAL.requests + ROUNDS * AT_ONCE
    assert 0 < sum(count == 0 for count in ours.cached) < len(ours.cached)

    kinds = [type(event) for event in ours.events]
    assert kinds.count(NodeEvicted) > 200
    assert PolicyFailed not in kinds
    assert EventsDropped not in kinds
    assert kinds[0] is EngineStarted
    sampled_ns = [event.t_ns for event in ours.events if isinstance(event, EngineLoadSampled)]
    assert len(sampled_ns) > 2
    closest_ns = min(third - first for first, third in zip(sampled_ns, sampled_ns[2:], strict=False))
    assert closest_ns > 0.9e9 * SAMPLE_PERIOD_S, "one a period, and one as work ends"
    matched = dispatches(ours.events)
    assert [event.cached_tokens for event in matched[: SEQUENTIAL.requests]] == ours.cached[: SEQUENTIAL.requests]
    assert sorted(event.cached_tokens for event in matched) == sorted(ours.cached)


async def test_the_model_does_what_our_engine_did(ours: Served) -> None:
    assert len(check_model(ours.recording, "lru", len(ours.cached))) > 200


async def test_a_daemon_that_is_stopped_leaves_nothing_of_its_engine(ours: Served) -> None:
    assert {"main", "detokenizer"} < ours.family, "the scheduler, whose name may say its rank, beside them"
    assert not ours.left, f"outlived the daemon: {', '.join(ours.left)}"
    assert ours.stopped.state == "stopped"
    assert ours.url is None
