"""Routes that make the engine work and that the front does not understand: what holds there. A slash at the end of a
path gets nobody past it."""

from __future__ import annotations

import asyncio

import pytest
from front_harness import stack
from test_front_door import rig
from test_safety_at_the_door import guarded
from yarl import URL

from radixdeck.daemon.front_access import is_unread
from radixdeck.daemon.front_door import Door
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.events import PolicyFailed, RequestRefused

UNREAD = (
    "/api/chat", "/api/generate", "/v1/score", "/v1/decisions", "/v1/systemone", "/v1/audio/transcriptions",
    "/v1/embeddings", "/v1/rerank", "/encode", "/classify", "/vertex_generate",
)  # fmt: skip
WORKLESS = (
    "/tokenize", "/v1/detokenize", "/v1/messages/count_tokens", "/v1/responses/resp_1/cancel", "/api/show",
    "/flush_cache",
)  # fmt: skip
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("path", UNREAD)
async def test_who_is_quarantined_gets_no_work_done_there_either(path: str) -> None:
    async with stack() as s:
        s.banned["a"] = "it loops"
        for headers in ({"x-agent-id": "a"}, {"baggage": "gen_ai.agent.id=a"}):
            status, answer = await s.post(path, BODY, headers)
            assert (status, answer["error"]["type"], s.of(RequestRefused)[-1].agent) == (403, "agent_quarantined", "a")
        assert (await s.post(path, BODY, {"x-agent-id": " "}))[0] == 400
        assert not s.upstream.requests
        assert (await s.post(path, BODY, {"x-agent-id": "b"}))[0] == (await s.post(path, BODY))[0] == 200


async def test_a_request_there_is_one_that_is_under_way() -> None:
    async with stack() as s:
        s.upstream.gate = asyncio.Event()
        asking = asyncio.create_task(s.post("/api/chat", BODY))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        assert s.front.in_flight == 1
        s.upstream.gate.set()
        assert (await asking)[0] == 200
        assert s.front.in_flight == 0


@pytest.mark.parametrize("path", UNREAD)
async def test_what_rules_cannot_be_held_on_is_refused_in_words(path: str) -> None:
    async with stack(door=guarded('[everybody]\nmodels = ["m"]')) as s:
        status, answer = await s.post(path, BODY, {"x-agent-id": "a"})
        assert (status, answer["error"]["type"]) == (403, "policy_refused")
        assert f"safety cannot hold its rules on {path}" in answer["error"]["message"]
        assert "ask on /v1/chat/completions" in answer["error"]["message"]
        (told,) = s.of(RequestRefused)
        assert (told.by, told.agent, s.upstream.requests) == ("safety", "a", [])


@pytest.mark.parametrize("path", WORKLESS)
async def test_what_is_no_work_for_the_engine_passes_whatever_the_rules(path: str) -> None:
    async with stack(door=guarded('[everybody]\nmodels = ["m"]')) as s:
        s.banned["a"] = "it loops"
        await s.post("/v1/chat/completions", BODY)
        async with s.client.post(s.url + path, json=BODY, headers={"x-agent-id": "a"}) as answer:
            assert answer.status != 403
        assert s.upstream.requests[-1][0] == path


async def test_policies_without_a_last_word_refuse_nothing_there() -> None:
    async with rig() as r:
        assert (await r.stack.post("/v1/score", BODY))[0] == 200
    async with stack(door=Door(DoorHost(["safety", "fairness"]), lambda: 0)) as s:
        assert (await s.post("/v1/score", BODY))[0] == 200


async def test_where_nobody_is_let_in_nobody_is_there() -> None:
    door = guarded("[everybody]\nrequests_per_minute = 9")
    door.follow(PolicyFailed(t_ns=1, policy="safety", call="admit", error="KeyError"))
    async with stack(door=door) as s:
        assert (await s.post("/v1/score", BODY))[0] == 403
        assert (await s.post("/v1/chat/completions", BODY))[0] == 503


@pytest.mark.parametrize("slash", ["/", "//", "%2F", "%2f/"])
async def test_a_slash_at_the_end_leads_past_nothing(slash: str) -> None:
    async with stack() as s:
        s.banned["a"] = "it loops"
        url = URL(f"{s.url}/v1/chat/completions{slash}?a=%2F", encoded=True)
        async with s.client.post(url, json=BODY, headers={"x-agent-id": "a"}) as answer:
            assert answer.status == 403
        async with s.client.post(url, json=BODY, headers={"x-agent-id": "b"}) as answer:
            assert (answer.status, (await answer.json())["object"]) == (200, "chat.completion")
        assert s.carried["agent"] == "b"
        assert [path for path, _, _ in s.upstream.requests] == ["/v1/chat/completions"]
        async with s.client.get(s.url + "/radixdeck/health/") as answer:
            assert answer.status == 200
        async with s.client.get(s.url + "/") as answer:
            assert answer.status == 200


def test_only_what_sends_something_is_work() -> None:
    assert is_unread("PUT", "/encode")
    assert not is_unread("GET", "/v1/models")
    assert not is_unread("POST", "/v1/chat/completions")
