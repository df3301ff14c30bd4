"""Administering the engine is for programs on this machine: not for web pages, nor for whoever is behind a proxy.

Agents in quarantine ask for nothing at all.
"""

from __future__ import annotations

import pytest
from front_harness import stack

from radixdeck.daemon.front_access import Access
from radixdeck.daemon.front_errors import Refusal
from radixdeck.policies.events import RequestRefused

ADMINISTRATION = ("/flush_cache", "/release_memory_occupation", "/slow_down", "/configure_logging", "/abort_request")


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://example.invalid"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"Via": "1.1 proxy"},
    ],
    ids=lambda header: next(iter(header.items())),
)
async def test_pages_and_proxies_do_not_administer(header: dict[str, str]) -> None:
    async with stack() as s:
        for path in ADMINISTRATION:
            status, answer = await s.post(path, {}, header)
            assert (status, answer["error"]["type"]) == (403, "permission_error")
            async with s.client.get(s.url + path, headers=header) as answer:
                assert answer.status == 403
        assert not s.upstream.requests
        assert (await s.chat("hi", headers=header))[0] == 200


async def test_local_programs_administer_and_only_look_with_get() -> None:
    async with stack() as s:
        for path in ADMINISTRATION:
            async with s.client.get(s.url + path) as answer:
                assert answer.status == 405
                assert "use POST" in (await answer.json())["error"]["message"]
        assert not s.upstream.requests
        for method, path in (("POST", "/flush_cache"), ("DELETE", "/hicache/storage-backend"), ("GET", "/server_info")):
            async with s.client.request(method, s.url + path, headers={"Sec-Fetch-Site": "none"}) as answer:
                assert answer.status == 200
        assert [path for path, _, _ in s.upstream.requests] == [
            "/flush_cache",
            "/hicache/storage-backend",
            "/server_info",
        ]


def refused(method: str, path: str, tenant: str = "default", remote: str = "192.0.2.1") -> str:
    try:
        Access({"key": "acme"}).check(method, path, {}, remote, tenant)
    except Refusal as refusal:
        return refusal.message
    return ""


def test_from_afar_one_may_ask_but_not_administer() -> None:
    for path in ("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/embeddings", "/encode"):
        assert not refused("POST", path)
    assert not refused("GET", "/api/tags")
    assert "administers" in refused("POST", "/flush_cache")
    assert "administers" in refused("GET", "/server_info")


@pytest.mark.parametrize("path", ["/chat/completions", "/models", "/messages"])
async def test_whoever_left_v1_out_is_told_so(path: str) -> None:
    async with stack() as s:
        status, answer = await s.post(path, {})
        assert (status, answer["error"]["type"]) == (404, "not_found_error")
        assert answer["error"]["message"] == f"there is no {path}: did you mean /v1{path}?"


async def test_a_route_that_nobody_knows_is_said_to_be_none() -> None:
    async with stack() as s, s.client.get(s.url + "/favicon.ico") as answer:
        said = (await answer.json())["error"]["message"]
        assert said.startswith("/favicon.ico is no route of the API and counts as one that administers the engine: ")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_ollamas_routes_are_refused_to_tenants_for_the_right_reason(path: str) -> None:
    assert "cannot keep tenant 'acme' apart" in refused("POST", path, "acme")


async def test_a_quarantined_agent_is_refused_with_the_reason() -> None:
    async with stack() as s:
        s.banned["planner"] = "it loops"
        status, answer = await s.chat("hi", headers={"x-agent-id": "planner"})
        assert (status, answer["error"]["type"]) == (403, "agent_quarantined")
        assert "it loops" in answer["error"]["message"]
        assert s.of(RequestRefused)[0].agent == "planner"
        assert (await s.chat("hi", headers={"x-agent-id": "other"}))[0] == 200
