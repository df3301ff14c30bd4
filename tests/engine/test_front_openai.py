"""The front before the real engine, asked by the real openai client."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio

from radixdeck.daemon.anchors import AnchorBook
from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import Engine
from radixdeck.daemon.engine.protocol import EngineSetup
from radixdeck.daemon.front import Front
from radixdeck.daemon.link import EngineLink
from radixdeck.policies.events import (
    AnchorMeasured,
    FirstTokenSent,
    PrefixInserted,
    PrefixMatched,
    RequestFinished,
    ToolCalled,
)
from radixdeck.policies.identity import Identities

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the archive for a phrase.",
        "parameters": {
            "type": "object",
            "properties": {"q": {"type": "string", "enum": ["a", "b"]}},
            "required": ["q"],
        },
    },
}

CALL = r'<tool_call>\n\{"name": "search", "arguments": \{"q": "[ab]"\}\}\n</tool_call>'
"""A model with random weights says this if it may say nothing else."""


class Rig:
    """Engine, link and front, and all facts that they reported."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.facts: list[Any] = []
        self.news = asyncio.Event()
        endpoint = f"ipc://{folder}/link.sock"
        self.link = EngineLink(endpoint, lambda _seq, events: self.note(*events), lambda _hello: None)
        spec = EngineSpec(device="cpu", size="tiny", kv_tokens=8_000)
        self.engine = Engine(spec, EngineSetup(policies=["lru"]), endpoint, folder / "logs", models)
        self.anchors = AnchorBook(upstream=lambda: self.engine.url, hint=self.note, now_ns=now_ns)
        self.front = Front(
            host="127.0.0.1",
            port=0,
            upstream=lambda: self.engine.url,
            why_down=lambda: (self.engine.status.detail, 1.0),
            emit=self.note,
            hint=self.note,
            quarantined=lambda _agent: None,
            identities=Identities(),
            anchors=self.anchors,
            now_ns=now_ns,
        )
        self.url = ""

    def note(self, *facts: Any) -> None:
        self.facts.extend(facts)
        self.news.set()

    async def first(self, kind: type[Any], wanted: Callable[[Any], bool]) -> Any:
        """The first fact of this kind that is wanted, as soon as it is there."""
        async with asyncio.timeout(30):
            while True:
                self.news.clear()
                for fact in self.facts:
                    if isinstance(fact, kind) and wanted(fact):
                        return fact
                await self.news.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> AsyncGenerator[Rig]:
    made = Rig(tmp_path_factory.mktemp("front"), model_dir)
    tasks = [asyncio.create_task(made.link.run()), asyncio.create_task(made.engine.run())]
    made.url = await made.front.start()
    await made.engine.wait_ready(180)
    yield made
    await made.front.stop()
    await made.engine.stop()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module")
async def client(rig: Rig) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def who(agent: str, session: str = "s", **more: str) -> dict[str, str]:
    return {"x-agent-id": agent, "x-session-id": session, **more}


def said(system: str, user: str) -> Any:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == ["radixdeck-tiny"]


async def test_a_chat_carries_its_identity_and_shows_cached_tokens(rig: Rig, client: openai.AsyncOpenAI) -> None:
    messages = said("You are the planner of a small crew. " * 10, "Plan the day.")
    sent = [
        await client.chat.completions.create(
            model="radixdeck-tiny", messages=messages, max_tokens=4, extra_headers=who("planner", f"s{i}")
        )
        for i in range(2)
    ]
    usage = sent[1].usage
    assert usage
    assert usage.prompt_tokens_details
    cached = usage.prompt_tokens_details.cached_tokens or 0
    assert cached > usage.prompt_tokens // 2
    matched = await rig.first(PrefixMatched, lambda fact: fact.rid == sent[1].id)
    assert (matched.agent, matched.session) == ("planner", "s1")
    assert (matched.prompt_tokens, matched.cached_tokens) == (usage.prompt_tokens, cached)
    finished = await rig.first(RequestFinished, lambda fact: fact.rid == sent[1].id)
    assert (finished.prompt_tokens, finished.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)


async def test_a_stream_is_the_same_answer_in_pieces(rig: Rig, client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "messages": said("You write.", "Go."), "max_tokens": 12, "temperature": 0}
    whole = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert words == (whole.choices[0].message.content or "")
    assert chunks[-1].usage
    finished = await rig.first(RequestFinished, lambda fact: fact.rid == chunks[0].id)
    assert finished.finish == whole.choices[0].finish_reason
    assert finished.output_tokens == chunks[-1].usage.completion_tokens
    first = await rig.first(FirstTokenSent, lambda fact: fact.rid == chunks[0].id)
    assert 0 < first.ttft_s <= finished.latency_s


@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls_pass_and_are_told(rig: Rig, client: openai.AsyncOpenAI, streamed: bool) -> None:
    agent = f"searcher-{streamed}"
    answer: Any = await client.chat.completions.create(
        model="radixdeck-tiny",
        messages=said("You search.", "Find the letter."),
        tools=[TOOL],
        max_tokens=200,
        stream=streamed,
        extra_body={"regex": CALL},
        extra_headers=who(agent),
    )
    if streamed:
        calls = [call async for chunk in answer for choice in chunk.choices for call in choice.delta.tool_calls or []]
        assert calls[0].function.name == "search"
    else:
        assert answer.choices[0].message.tool_calls, answer
        assert answer.choices[0].message.tool_calls[0].function.name == "search"
    called = await rig.first(ToolCalled, lambda fact: fact.agent == agent)
    assert called.tools == ("search",)


async def test_the_engines_own_errors_pass(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "messages": said("You write.", "Go.")}
    with pytest.raises(openai.BadRequestError, match="top_p"):
        await client.chat.completions.create(**asked, top_p=7)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="radixdeck-tiny", messages=[])
    with pytest.raises(openai.BadRequestError, match="longer than"):
        await client.completions.create(model="radixdeck-tiny", prompt="long " * 40_000)


@pytest.mark.parametrize(
    ("path", "body", "rid_field"),
    [
        ("/v1/completions", {"model": "radixdeck-tiny", "prompt": "Once upon", "max_tokens": 2}, "id"),
        ("/generate", {"text": "Once upon", "sampling_params": {"max_new_tokens": 2}}, ""),
        (
            "/v1/messages",
            {"model": "radixdeck-tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "Go."}]},
            "",
        ),
    ],
    ids=["completions", "generate", "messages"],
)
async def test_the_identity_arrives_on_every_route(rig: Rig, path: str, body: Any, rid_field: str) -> None:
    agent = "agent of " + path
    async with (
        aiohttp.ClientSession() as session,
        session.post(rig.url + path, json=body, headers=who(agent)) as answer,
    ):
        assert answer.status == 200, await answer.text()
        told = await answer.json()
    matched = await rig.first(PrefixMatched, lambda fact: fact.agent == agent)
    finished = await rig.first(RequestFinished, lambda fact: fact.agent == agent)
    assert matched.session == "s"
    assert finished.prompt_tokens == matched.prompt_tokens
    if rid_field:
        assert told[rid_field] == matched.rid == finished.rid


async def test_tenants_share_no_cache(rig: Rig, client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "messages": said("Tenants share this. " * 20, "Go."), "max_tokens": 2}
    cached: list[int] = []
    for tenant in ("acme", "acme", "umbrella", "umbrella"):
        answer = await client.chat.completions.create(**asked, extra_headers={"x-tenant-id": tenant})
        matched = await rig.first(PrefixMatched, lambda fact, rid=answer.id: fact.rid == rid)
        assert matched.tenant == tenant
        cached.append(matched.cached_tokens)
    assert cached[0] == cached[2] == 0
    assert min(cached[1], cached[3]) > 50


async def test_how_long_an_answer_takes_tells_a_tenant_nothing_of_anothers_prompts(
    client: openai.AsyncOpenAI,
) -> None:
    """The probe works within a tenant, where what was asked before answers several times as fast; for another tenant's
    prompt it takes as long as for one that nobody asked."""
    took_s: dict[str, list[float]] = {"first": [], "guessed": [], "fresh": [], "own": []}
    for trial in range(5):
        secret, other = (f"{word} {trial}: " + "what we will do next year. " * 300 for word in ("Plan", "Idea"))
        asks = ((secret, "keeper"), (secret, "prober"), (other, "prober"), (secret, "keeper"))
        for which, (prompt, tenant) in zip(took_s, asks, strict=True):
            asked: Any = {"model": "radixdeck-tiny", "messages": said(prompt, "Go."), "max_tokens": 1}
            began_s = time.perf_counter()
            await client.chat.completions.create(**asked, extra_headers={"x-tenant-id": tenant})
            took_s[which].append(time.perf_counter() - began_s)
    own, guessed, fresh = (statistics.median(took_s[which]) for which in ("own", "guessed", "fresh"))
    assert own < 0.6 * fresh, took_s
    assert guessed > 0.7 * fresh, took_s


async def test_an_anchor_is_what_every_prompt_of_the_agent_begins_with(rig: Rig, client: openai.AsyncOpenAI) -> None:
    system = "You are the archivist. You know where everything is. " * 8
    headers = {"x-tenant-id": "museum", **who("archivist")}

    async def ask(user: str) -> PrefixMatched:
        answer = await client.chat.completions.create(
            model="radixdeck-tiny", messages=said(system, user), tools=[TOOL], max_tokens=2, extra_headers=headers
        )
        return await rig.first(PrefixMatched, lambda fact: fact.rid == answer.id)

    await ask("Where is the map?")
    measured = await rig.first(AnchorMeasured, lambda fact: fact.agent == "museum/archivist")
    again = await ask("Which key opens it?")
    assert again.anchor_tokens == measured.tokens
    assert again.cached_tokens >= measured.tokens
    assert again.prompt_tokens - measured.tokens < 30
    assert await rig.front.warm("museum/archivist") == measured.tokens
    warmed = await rig.first(PrefixMatched, lambda fact: fact.warm and fact.agent == "museum/archivist")
    assert warmed.prompt_tokens == measured.tokens
    assert warmed.cached_tokens >= measured.tokens - 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_goes_away_frees_the_engine(rig: Rig, client: openai.AsyncOpenAI, streamed: bool) -> None:
    agent = f"leaver-{streamed}"
    asked: Any = {
        "model": "radixdeck-tiny",
        "messages": said("You never stop.", "Go."),
        "max_tokens": 7_000,
        "extra_body": {"ignore_eos": True},
        "extra_headers": who(agent),
    }
    if streamed:
        stream = await client.chat.completions.create(**asked, stream=True)
        await anext(aiter(stream))
        await stream.close()
    else:
        asking = asyncio.create_task(client.chat.completions.create(**asked))
        await rig.first(PrefixMatched, lambda fact: fact.agent == agent)
        asking.cancel()
    finished = await rig.first(RequestFinished, lambda fact: fact.agent == agent)
    assert (finished.finish, finished.status) == ("abort", 499)
    kept = await rig.first(PrefixInserted, lambda fact: fact.rid == finished.rid and fact.phase == "finish")
    assert kept.total_tokens < 6_000
    assert rig.front.in_flight == 0
    async with aiohttp.ClientSession() as session, session.get(rig.url + "/v1/loads") as answer:
        loads = (await answer.json())["loads"]
    assert [load["num_running_reqs"] for load in loads] == [0]
