"""The front passes everything through, adds the identity, and reports what it saw."""

from __future__ import annotations

import asyncio
import gzip
import json

import openai
import pytest
from front_harness import Stack, stack
from yarl import URL

from radixdeck.daemon.front import Front, FrontError
from radixdeck.policies.events import (
    AgentSeen,
    AnchorMeasured,
    AnswerGiven,
    FirstTokenSent,
    NextAgentHinted,
    RequestArrived,
    RequestFinished,
    SessionEnded,
    ToolCalled,
)
from radixdeck.policies.identity.identities import Identities

WHO = {"x-agent-id": "planner", "x-session-id": "s1"}


def client_of(stack_: Stack) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=stack_.url + "/v1", api_key="none", max_retries=0)


async def test_identity_and_request_id_reach_the_engine() -> None:
    async with stack() as s:
        status, answer = await s.chat("hi", headers=WHO, custom_params={"mine": 1, "radixdeck": {"agent": "forged"}})
        assert status == 200
        assert s.carried == {"agent": "planner", "session": "s1", "tenant": "default", "anchor": 0, "warm": False}
        assert s.upstream.last["custom_params"]["mine"] == 1
        assert answer["id"] == s.upstream.last["rid"] == s.of(RequestArrived)[0].rid
        assert "cache_salt" not in s.upstream.last


@pytest.mark.parametrize(
    ("tenant", "asked", "salt"),
    [
        ("acme", {}, "acme"),
        ("acme", {"cache_salt": "x"}, "acme:x"),
        ("acme", {"extra_key": "k"}, "acme:\x1fk"),
        ("default", {"cache_salt": "x"}, "default:x"),
        ("default", {"cache_salt": ""}, None),
        ("acme", {"cache_salt": ["x", "y"]}, ["acme:x", "acme:y"]),
    ],
)
async def test_the_cache_salt_is_the_tenants(tenant: str, asked: dict[str, object], salt: object) -> None:
    async with stack() as s:
        await s.chat("hi", headers={"x-tenant-id": tenant, **WHO}, **asked)
        assert s.upstream.last.get("cache_salt") == salt
        assert "extra_key" not in s.upstream.last
        assert s.carried["agent"] == ("planner" if tenant == "default" else f"{tenant}/planner")


async def test_generate_carries_the_identity_in_its_sampling_parameters() -> None:
    async with stack() as s:
        body = {"text": "hello", "sampling_params": {"max_new_tokens": 3}}
        status, _ = await s.post("/generate", body, WHO)
        assert status == 200
        assert s.upstream.last["sampling_params"]["max_new_tokens"] == 3
        assert s.upstream.last["sampling_params"]["custom_params"]["radixdeck"]["agent"] == "planner"
        finished = s.of(RequestFinished)[0]
        assert (finished.finish, finished.prompt_tokens, finished.output_tokens) == ("length", 11, 3)
        await s.post("/generate", {"text": ["a", "b"], "sampling_params": [{}, {}]}, WHO)
        assert all("radixdeck" in params["custom_params"] for params in s.upstream.last["sampling_params"])


async def test_routes_that_drop_custom_params_carry_the_identity_elsewhere() -> None:
    async with stack() as s:
        messages = [{"role": "user", "content": "hi"}]
        await s.post("/v1/messages", {"model": "m", "max_tokens": 5, "messages": messages}, WHO)
        carried = s.upstream.last_headers["x-smg-routing-key"]
        assert json.loads(carried.removeprefix("radixdeck:"))["agent"] == "planner"
        assert s.upstream.last_headers["x-override-rid"] == s.of(RequestArrived)[-1].rid
        await s.post("/v1/responses", {"model": "m", "input": "hi"}, WHO)
        assert json.loads(s.upstream.last["session_id"].removeprefix("radixdeck:"))["session"] == "s1"
        first = s.upstream.last["request_id"]
        assert first.startswith("resp_")


async def test_a_response_that_names_the_previous_one_stays_in_its_session() -> None:
    async with stack() as s:
        await s.post("/v1/responses", {"model": "m", "input": "hi"})
        first = s.upstream.last["request_id"]
        await s.post("/v1/responses", {"model": "m", "input": "and now?", "previous_response_id": first})
        one, two = s.of(RequestArrived)
        assert one.session == two.session


async def test_a_stream_passes_event_by_event_and_is_reported() -> None:
    async with stack() as s:
        s.upstream.gate = asyncio.Event()
        messages = [{"role": "user", "content": "hi"}]
        async with client_of(s) as client:
            stream = await client.chat.completions.create(model="m", messages=messages, stream=True, extra_headers=WHO)  # pyright: ignore
            words: list[str] = []
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    words.append(chunk.choices[0].delta.content)
                    s.upstream.gate.set()  # the second word is not written before the first has arrived here
        assert words == ["Hel", "lo"]
        finished = (await s.until(RequestFinished))[0]
        assert (finished.finish, finished.status, finished.streamed) == ("stop", 200, True)
        assert (finished.prompt_tokens, finished.output_tokens) == (11, 3)
        first = s.of(FirstTokenSent)
        assert len(first) == 1
        assert 0 < first[0].ttft_s <= finished.latency_s
        assert finished.ttft_s == first[0].ttft_s
        assert [type(f).__name__ for f in s.reports] == [
            "AgentSeen", "RequestArrived", "FirstTokenSent", "RequestFinished", "AnswerGiven",
        ]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls_are_the_finish_signal(streamed: bool) -> None:
    async with stack() as s:
        s.upstream.tools = True
        async with s.client.post(
            s.url + "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "hi"}], "stream": streamed},
            headers=WHO,
        ) as answer:
            await answer.read()
        called = (await s.until(ToolCalled))[0]
        assert (called.agent, called.session, called.tools) == ("planner", "s1", ("search",))
        assert not s.of(AnswerGiven)


async def test_the_answer_of_an_error_passes_unchanged() -> None:
    async with stack() as s:
        status, answer = await s.chat("hi", model="missing")
        assert (status, answer["message"]) == (404, "no such model")
        assert s.of(RequestFinished)[0].finish == "error"


async def test_other_routes_pass_unchanged_in_both_directions() -> None:
    headers = {"X-Other": "kept", "Content-Type": "x/y"}
    async with (
        stack() as s,
        s.client.put(
            URL(s.url + "/echo?a=1&b=%2F", encoded=True), data=b"\x00\xff" * 500_000, headers=headers
        ) as answer,
    ):
        assert await answer.read() == b"\x00\xff" * 500_000
        assert answer.headers["X-Method"] == "PUT"
        assert answer.headers["X-Path"] == "/echo?a=1&b=%2F"
        assert s.upstream.requests[0][1]["X-Other"] == "kept"


async def test_answers_without_a_body_pass() -> None:
    async with stack() as s, s.client.head(s.url + "/v1/models") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Content-Type"].startswith("application/json")


async def test_models_and_health_of_the_daemon() -> None:
    async with stack() as s, client_of(s) as client:
        assert [model.id async for model in await client.models.list()] == ["m"]
        async with s.client.get(s.url + "/radixdeck/health") as answer:
            said = await answer.json()
            assert (said["engine"], said["detail"]) == ("ready", "")
    async with (
        stack(blind=lambda: "left: KeyError: 7") as s,
        s.client.get(s.url + "/radixdeck/health") as answer,
    ):
        said = await answer.json()
        assert (said["engine"], said["detail"]) == ("ready", "radixdeck's observer broke in left: KeyError: 7")


async def test_compressed_and_chunked_bodies_are_read() -> None:
    async with stack() as s:
        body = json.dumps({"messages": [{"role": "user", "content": "hi" * 5000}]}).encode()

        async def pieces():
            for start in range(0, len(body), 1000):
                yield body[start : start + 1000]

        headers = {"Content-Type": "application/json"}
        async with s.client.post(s.url + "/v1/chat/completions", data=pieces(), headers=headers) as answer:
            assert answer.status == 200
        packed = {**headers, "Content-Encoding": "gzip"}
        async with s.client.post(s.url + "/v1/chat/completions", data=gzip.compress(body), headers=packed) as answer:
            assert answer.status == 200
        assert s.upstream.last["messages"][0]["content"] == "hi" * 5000


async def test_a_session_is_ended_by_header_or_by_route() -> None:
    async with stack() as s:
        await s.chat("hi", headers={**WHO, "x-session-end": "true"})
        assert [fact.session for fact in s.of(SessionEnded)] == ["s1"]
        status, answer = await s.post("/radixdeck/sessions/s2/end", None, {"x-tenant-id": "acme"})
        assert (status, answer["session"]) == (200, "acme/s2")
        assert s.of(SessionEnded)[-1].session == "acme/s2"


async def test_the_next_agent_is_hinted_by_header_unless_the_session_is_over() -> None:
    async with stack() as s:
        tenant = {"x-tenant-id": "acme", **WHO}
        await s.chat("hi", headers={**tenant, "x-next-agent": "coder"})
        assert [(fact.session, fact.agent) for fact in s.of(NextAgentHinted)] == [("acme/s1", "acme/coder")]
        await s.chat("hi", headers={**tenant, "x-next-agent": "coder", "x-session-end": "true"})
        status, answer = await s.chat("hi", headers={**WHO, "x-next-agent": "a" * 1000})
        assert (status, "x-next-agent" in str(answer)) == (400, True)
        assert len(s.of(NextAgentHinted)) == 1


async def test_an_anchor_is_measured_once_and_warmed() -> None:
    async with stack() as s:
        messages = [{"role": "system", "content": "You plan."}, {"role": "user", "content": "hi"}]
        tenant = {"x-tenant-id": "acme", **WHO}
        await s.post("/v1/chat/completions", {"messages": messages, "tools": []}, tenant)
        measured = (await s.until(AnchorMeasured))[0]
        assert measured.agent == "acme/planner"
        expected = list(b"[]systemYou plan.user")
        assert s.anchors.ids("acme/planner") == expected
        await s.post("/v1/chat/completions", {"messages": messages, "tools": []}, tenant)
        assert s.carried["anchor"] == len(expected) == measured.tokens
        assert await s.front.warm("acme/planner") == len(expected)
        sent = s.upstream.last
        assert sent["input_ids"] == expected
        assert sent["cache_salt"] == "acme"
        assert sent["sampling_params"]["max_new_tokens"] == 1
        carried = sent["sampling_params"]["custom_params"]["radixdeck"]
        assert (carried["warm"], carried["tenant"], carried["agent"]) == (True, "acme", "acme/planner")
        with pytest.raises(FrontError, match="'nobody'"):
            await s.front.warm("nobody")
        assert sum(path == "/v1/tokenize" for path, _, _ in s.upstream.requests) == 2


async def test_measuring_gives_up_after_three_failures() -> None:
    async with stack() as s:
        s.upstream.tokenize_failures = 99
        messages = [{"role": "system", "content": "You plan."}, {"role": "user", "content": "hi"}]
        async with asyncio.timeout(10):
            while s.upstream.tokenize_failures > 96:
                await s.post("/v1/chat/completions", {"messages": messages}, WHO)
        for _ in range(5):
            await s.post("/v1/chat/completions", {"messages": messages}, WHO)
        assert s.upstream.tokenize_failures == 96
        others = [{"role": "system", "content": "You search."}, {"role": "user", "content": "hi"}]
        s.upstream.tokenize_failures = 0
        await s.post("/v1/chat/completions", {"messages": others}, {"x-agent-id": "searcher"})
        measured = await s.until(AnchorMeasured)
        assert [fact.agent for fact in measured] == ["searcher"]


async def test_a_new_agent_is_announced_once() -> None:
    async with stack() as s:
        system = {"role": "system", "content": "You are the planner of a team."}
        for _ in range(3):
            await s.post("/v1/chat/completions", {"messages": [system, {"role": "user", "content": "hi"}]})
        seen = s.of(AgentSeen)
        assert len(seen) == 1
        assert seen[0].label == "You are the planner of a"
        assert seen[0].agent == f"agent-{seen[0].fingerprint[:12]}"


async def test_a_port_in_use_is_said_clearly() -> None:
    async with stack() as s:
        port = int(s.url.rsplit(":", 1)[1])
        second = Front(
            host="127.0.0.1",
            port=port,
            upstream=s.up,
            why_down=lambda: ("", 1.0),
            emit=s.report,
            hint=s.report,
            quarantined=s.banned.get,
            identities=Identities(),
            anchors=s.anchors,
            now_ns=lambda: 0,
        )
        with pytest.raises(FrontError, match=f"127.0.0.1:{port}.*in use"):
            await second.start()
        await second.stop()
