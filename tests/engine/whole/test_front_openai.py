"""The front of a whole daemon before the real engine, asked by the real openai client."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import aiohttp
import openai
import pytest

from radixdeck.daemon.runtime import Daemon
from radixdeck.policies.events import (
    AnchorMeasured,
    FirstTokenSent,
    PrefixInserted,
    PrefixMatched,
    RequestFinished,
    ToolCalled,
)
from whole.stage import Facts, flush

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="package")]

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


def who(agent: str, session: str = "s", **more: str) -> dict[str, str]:
    return {"x-agent-id": agent, "x-session-id": session, **more}


def said(system: str, user: str) -> Any:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == ["radixdeck-tiny"]


async def test_a_chat_carries_its_identity_and_shows_cached_tokens(facts: Facts, client: openai.AsyncOpenAI) -> None:
    messages = said("You are the planner of a small crew. " * 10, "Plan the day.")
    sent = [
        await client.chat.completions.create(
            model="radixdeck-tiny", messages=messages, max_tokens=4, extra_headers=who("organiser", f"s{i}")
        )
        for i in range(2)
    ]
    usage = sent[1].usage
    assert usage
    assert usage.prompt_tokens_details
    cached = usage.prompt_tokens_details.cached_tokens or 0
    assert cached > usage.prompt_tokens // 2
    matched = await facts.first(PrefixMatched, lambda fact: fact.rid == sent[1].id)
    assert (matched.agent, matched.session) == ("organiser", "s1")
    assert (matched.prompt_tokens, matched.cached_tokens) == (usage.prompt_tokens, cached)
    finished = await facts.first(RequestFinished, lambda fact: fact.rid == sent[1].id)
    assert (finished.prompt_tokens, finished.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)


async def test_a_stream_is_the_same_answer_in_pieces(facts: Facts, client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "messages": said("You write.", "Go."), "max_tokens": 12, "temperature": 0}
    whole = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert words == (whole.choices[0].message.content or "")
    assert chunks[-1].usage
    finished = await facts.first(RequestFinished, lambda fact: fact.rid == chunks[0].id)
    assert finished.finish == whole.choices[0].finish_reason
    assert finished.output_tokens == chunks[-1].usage.completion_tokens
    first = await facts.first(FirstTokenSent, lambda fact: fact.rid == chunks[0].id)
    assert 0 < first.ttft_s <= finished.latency_s


@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls_pass_and_are_told(facts: Facts, client: openai.AsyncOpenAI, streamed: bool) -> None:
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
    called = await facts.first(ToolCalled, lambda fact: fact.agent == agent)
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
        ("/v1/responses", {"model": "radixdeck-tiny", "input": "Once upon", "max_output_tokens": 2}, "id"),
    ],
    ids=["completions", "generate", "messages", "responses"],
)
async def test_the_identity_arrives_on_every_route(
    daemon: Daemon, facts: Facts, path: str, body: Any, rid_field: str
) -> None:
    agent = "agent of " + path
    async with (
        aiohttp.ClientSession() as session,
        session.post(daemon.url + path, json=body, headers=who(agent)) as answer,
    ):
        assert answer.status == 200, await answer.text()
        told = await answer.json()
    matched = await facts.first(PrefixMatched, lambda fact: fact.agent == agent)
    finished = await facts.first(RequestFinished, lambda fact: fact.agent == agent)
    assert matched.session == "s"
    assert finished.prompt_tokens == matched.prompt_tokens
    if rid_field:
        assert told[rid_field] == matched.rid == finished.rid


async def test_a_response_is_streamed(facts: Facts, client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "input": "Once upon", "max_output_tokens": 4, "stream": True}
    told = [event async for event in await client.responses.create(**asked, extra_headers=who("bard"))]
    kinds = [event.type for event in told]
    assert (kinds[0], "response.output_text.delta" in kinds) == ("response.created", True)
    finished = await facts.first(RequestFinished, lambda fact: fact.agent == "bard")
    assert (finished.status, finished.output_tokens) == (200, told[-1].response.usage.output_tokens)


async def test_tenants_share_no_cache(facts: Facts, client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "radixdeck-tiny", "messages": said("Tenants share this. " * 20, "Go."), "max_tokens": 2}
    cached: list[int] = []
    for tenant in ("acme", "acme", "umbrella", "umbrella"):
        answer = await client.chat.completions.create(**asked, extra_headers={"x-tenant-id": tenant})
        matched = await facts.first(PrefixMatched, lambda fact, rid=answer.id: fact.rid == rid)
        assert matched.tenant == tenant
        cached.append(matched.cached_tokens)
    assert cached[0] == cached[2] == 0
    assert min(cached[1], cached[3]) > 50


async def test_how_long_an_answer_takes_tells_a_tenant_nothing_of_anothers_prompts(
    daemon: Daemon, client: openai.AsyncOpenAI
) -> None:
    """The probe works within a tenant, where what was asked before answers several times as fast; for another tenant's
    prompt it takes as long as for one that nobody asked."""
    took_s: dict[str, list[float]] = {"first": [], "guessed": [], "fresh": [], "own": []}

    async def asked_s(prompt: str, tenant: str) -> float:
        began_s = time.perf_counter()
        asked: Any = {"model": "radixdeck-tiny", "messages": said(prompt, "Go."), "max_tokens": 1}
        await client.chat.completions.create(**asked, extra_headers={"x-tenant-id": tenant})
        return time.perf_counter() - began_s

    for trial in range(5):
        await flush(daemon)
        for tenant in ("keeper", "prober"):
            await asked_s("What every prompt begins with is there for both.", tenant)
        secret, other = (f"{word} {trial}: " + "what we will do next year. " * 300 for word in ("Plan", "Idea"))
        asks = ((secret, "keeper"), (secret, "prober"), (other, "prober"), (secret, "keeper"))
        for which, (prompt, tenant) in zip(took_s, asks, strict=True):
            took_s[which].append(await asked_s(prompt, tenant))
    own, guessed, fresh = (statistics.median(took_s[which]) for which in ("own", "guessed", "fresh"))
    assert own < 0.6 * fresh, took_s
    assert guessed > 0.7 * fresh, took_s


async def test_an_anchor_is_what_every_prompt_of_the_agent_begins_with(
    daemon: Daemon, facts: Facts, client: openai.AsyncOpenAI
) -> None:
    system = "You are the archivist. You know where everything is. " * 8
    headers = {"x-tenant-id": "museum", **who("archivist")}

    async def ask(user: str) -> PrefixMatched:
        answer = await client.chat.completions.create(
            model="radixdeck-tiny", messages=said(system, user), tools=[TOOL], max_tokens=2, extra_headers=headers
        )
        return await facts.first(PrefixMatched, lambda fact: fact.rid == answer.id)

    await ask("Where is the map?")
    measured = await facts.first(AnchorMeasured, lambda fact: fact.agent == "museum/archivist")
    again = await ask("Which key opens it?")
    assert again.anchor_tokens == measured.tokens
    assert again.cached_tokens >= measured.tokens
    assert again.prompt_tokens - measured.tokens < 30
    assert await daemon.front.warm("museum/archivist") == measured.tokens
    warmed = await facts.first(PrefixMatched, lambda fact: fact.warm and fact.agent == "museum/archivist")
    assert warmed.prompt_tokens == measured.tokens
    assert warmed.cached_tokens >= measured.tokens - 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_goes_away_frees_the_engine(
    daemon: Daemon, facts: Facts, client: openai.AsyncOpenAI, streamed: bool
) -> None:
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
        await facts.first(PrefixMatched, lambda fact: fact.agent == agent)
        asking.cancel()
    finished = await facts.first(RequestFinished, lambda fact: fact.agent == agent)
    assert (finished.finish, finished.status) == ("abort", 499)
    kept = await facts.first(PrefixInserted, lambda fact: fact.rid == finished.rid and fact.phase == "finish")
    assert kept.total_tokens < 6_000
    assert daemon.front.in_flight == 0
    async with aiohttp.ClientSession() as session, session.get(daemon.url + "/v1/loads") as answer:
        loads = (await answer.json())["loads"]
    assert [load["num_running_reqs"] for load in loads] == [0]
