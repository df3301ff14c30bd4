"""API keys decide the tenant, go no further than the front, and keep tenants off what would mix their caches."""

from __future__ import annotations

import asyncio
import logging

import pytest
from front_harness import stack

from radixdeck.policies.events import AnchorMeasured, SessionEnded

CHAT = "/v1/chat/completions"
KEYS = {"key-a": "acme", "key-d": "default"}


async def test_keys_decide_the_tenant_and_go_no_further(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with stack(api_keys=KEYS) as s:
        bearer = {"Authorization": "Bearer key-a"}
        assert (await s.chat("hi"))[0] == 401
        assert (await s.chat("hi", headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await s.chat("hi", headers={"Authorization": "Basic key-a"}))[0] == 401
        assert not s.upstream.requests
        assert (await s.chat("hi", headers=bearer))[0] == 200
        assert s.carried["tenant"] == "acme"
        assert s.upstream.last["cache_salt"] == "acme"
        assert (await s.chat("hi", headers={"x-api-key": "key-a"}))[0] == 200
        status, answer = await s.chat("hi", headers={**bearer, "x-tenant-id": "other"})
        assert (status, answer["error"]["type"]) == (403, "permission_error")
        status, answer = await s.chat("hi", headers={"Authorization": "Bearer key-d", "x-agent-id": "acme/planner"})
        assert (status, "acme/" in answer["error"]["message"]) == (400, True)
        async with s.client.get(s.url + "/health") as health:
            assert health.status == 200
        sent = [value for _, headers, _ in s.upstream.requests for value in headers.values()]
        assert not any("key-a" in value for value in sent)
        assert "key-a" not in repr(s.reports)
        assert "key-a" not in caplog.text


async def test_a_tenant_is_kept_off_what_would_mix_caches() -> None:
    async with stack(api_keys=KEYS) as s:
        acme, ours = {"Authorization": "Bearer key-a"}, {"Authorization": "Bearer key-d"}
        for path in ("/v1/messages", "/vertex_generate", "/flush_cache", "/abort_request", "/v1/audio/transcriptions"):
            assert (await s.post(path, {}, acme))[0] == 403
        assert not s.upstream.requests
        assert (await s.post("/v1/tokenize", {"messages": []}, acme))[0] == 200
        assert (await s.post("/flush_cache", {}, ours))[0] == 200
        assert (await s.post("/flush_cache", {}, {**ours, "Origin": "http://example.invalid"}))[0] == 403


async def test_a_session_is_ended_by_its_own_tenant_only() -> None:
    async with stack(api_keys=KEYS) as s:
        acme, ours = {"Authorization": "Bearer key-a"}, {"Authorization": "Bearer key-d"}
        for path in ("/radixdeck/sessions/acme/s1/end", "/radixdeck/sessions/acme%2Fs1/end"):
            status, answer = await s.post(path, None, ours)
            assert (status, "belong to tenant 'acme'" in answer["error"]["message"]) == (400, True)
        assert (await s.chat("hi", headers={**ours, "x-session-id": "acme/s1", "x-session-end": "true"}))[0] == 400
        assert not s.of(SessionEnded)
        assert (await s.post("/radixdeck/sessions/s1/end", None, acme))[1]["session"] == "acme/s1"


async def test_the_engines_key_goes_with_our_own_calls_only() -> None:
    async with stack(engine_key="engine-key") as s:
        s.upstream.key = "engine-key"
        body = {"messages": [{"role": "system", "content": "You plan."}, {"role": "user", "content": "hi"}]}
        who = {"x-agent-id": "planner"}
        assert (await s.post(CHAT, body, who))[0] == 401
        assert s.upstream.last_headers.get("Authorization") is None
        assert (await s.post(CHAT, body, {**who, "Authorization": "Bearer engine-key"}))[0] == 200
        await s.until(AnchorMeasured)
        assert await s.front.warm("planner") > 0
        s.upstream.gate = asyncio.Event()
        s.upstream.reached.clear()
        warming = asyncio.create_task(s.front.warm("planner"))
        await asyncio.wait_for(s.upstream.reached.wait(), 10)
        warming.cancel()
        await asyncio.wait_for(s.upstream.abort_seen.wait(), 10)
