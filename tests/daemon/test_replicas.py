"""Second engines: what is typed, what is found there, and that it is said in words, without keys."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from front_harness import Upstream, serving
from multidict import CIMultiDict

from radixdeck.daemon.config import ConfigError, load_config, public
from radixdeck.daemon.replica_urls import Replica, ReplicaError, read_replica, read_replicas
from radixdeck.daemon.replicas import ITSELF, ONLY_ONE, Replicas
from radixdeck.policies.events import ReplicaChecked


@pytest.mark.parametrize(
    ("typed", "url", "key"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", None),
        (" http://host:9000/ ", "http://host:9000", None),
        ("http://host:9000/v1/", "http://host:9000", None),
        ("https://host/engines/two", "https://host/engines/two", None),
        ("http://:a%40b@[::1]:9000", "http://[::1]:9000", "a@b"),
        ("http://user:secret@host", "http://host", "secret"),
    ],
)
def test_what_is_typed(typed: str, url: str, key: str | None) -> None:
    assert read_replica(typed) == Replica(url, key)


@pytest.mark.parametrize(
    "typed",
    ["", "host:9000", "127.0.0.1", "ftp://host", "http://", "http://host:99999", "http://host:x", "http://host?a=1",
     "http://host#a", "http://[::1", "http://:secret@"],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_its_key(typed: str) -> None:
    with pytest.raises(ReplicaError) as raised:
        read_replica(typed)
    assert "secret" not in str(raised.value)
    assert "URL" in str(raised.value)


@pytest.mark.parametrize(
    "key", ["se/cret", "se//cret", "se?cret", "se#cret", "1/cret", "se[cret", "se@//cret", "se\u2100cret"]
)
@pytest.mark.parametrize("scheme", ["http://", "http:", ""])
def test_no_part_of_a_key_is_shown_that_is_not_typed_as_it_should_be(key: str, scheme: str) -> None:
    for user in ("", "user"):
        with pytest.raises(ReplicaError) as raised:
            read_replica(f"{scheme}{user}:{key}@host:9000")
        assert "cret" not in str(raised.value)
        assert ":1" not in str(raised.value)
        assert "':se" not in str(raised.value)
        assert "host:9000' is no URL" in str(raised.value)
        if scheme == "http://":
            assert "%2F" in str(raised.value)
            assert raised.value.__cause__ is None


def test_a_slash_in_a_key_is_escaped() -> None:
    assert read_replica("http://:a%2Fb%3Fc%23d@host:9000") == Replica("http://host:9000", "a/b?c#d")


def test_one_is_named_once() -> None:
    with pytest.raises(ReplicaError, match="http://a:1 is named twice"):
        read_replicas(["http://a:1", "http://b:1", "http://:key@a:1/v1"])


def test_the_key_takes_the_place_of_the_callers_secrets() -> None:
    told = CIMultiDict({"Authorization": "Bearer x", "X-Api-Key": "x", "Cookie": "x", "x-agent-id": "a"})
    assert dict(Replica("http://a", "k").headers(told)) == {"x-agent-id": "a", "Authorization": "Bearer k"}
    assert dict(Replica("http://a").headers(told)) == {"x-agent-id": "a"}
    assert len(told) == 4


def test_the_file_names_them_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    path = tmp_path / "radixdeck.toml"
    path.write_text('[engine]\nreplicas = ["http://:secret@127.0.0.1:9000"]')
    config = load_config(path)
    assert config.engine.replicas == ("http://:secret@127.0.0.1:9000",)
    assert list(public(config)["engine"]["replicas"]) == ["http://127.0.0.1:9000"]
    for wrong, words in (('["nine"]', r"engine\.replicas: 'nine' is no URL"), ("7", "engine.replicas"), ("[7]", "str")):
        path.write_text(f"[engine]\nreplicas = {wrong}")
        with pytest.raises(ConfigError, match=words):
            load_config(path)


class Looking:
    """The first engine, one other, and what was found of that."""

    def __init__(self, other: str, wanted: bool = True) -> None:
        self.first, self.facts, self.wanted = Upstream(), list[ReplicaChecked](), wanted
        self.up = True
        self.replicas = Replicas(
            [other] if other else [], upstream=lambda: self.first.url if self.up else None,
            front=lambda: "http://127.0.0.1:8330", wanted=lambda: self.wanted, emit=self.facts.append, now_ns=lambda: 1,
        )  # fmt: skip

    async def look(self) -> str:
        """What is found now."""
        async with aiohttp.ClientSession() as session:
            await self.replicas.look(session)
        return next(iter(self.replicas.words().values()), "")


@asynccontextmanager
async def looking(other: Upstream | str, **more: bool) -> AsyncIterator[Looking]:
    if isinstance(other, Upstream):
        async with serving(other):
            made = Looking(other.url, **more)
            async with serving(made.first):
                yield made
    else:
        made = Looking(other, **more)
        async with serving(made.first):
            yield made


async def test_one_that_serves_the_same_can_be_used() -> None:
    async with looking(Upstream()) as found:
        assert found.replicas.next() is None
        assert await found.look() == "it serves 'm'"
        assert found.replicas.next() == found.replicas.known[0]
        await found.look()
        assert [(fact.ok, fact.detail) for fact in found.facts] == [(True, "it serves 'm'")]


async def test_another_model_is_named() -> None:
    other = Upstream()
    other.model = "another"
    async with looking(other) as found:
        assert await found.look() == "not used: it serves 'another', not 'm'"
        assert found.replicas.next() is None


async def test_one_that_does_not_answer_is_used_once_it_does() -> None:
    async with looking("http://127.0.0.1:9") as found:
        assert (await found.look()).startswith("not used: it does not answer: Cannot connect")
    other = Upstream()
    other.key = "k"
    async with looking(other) as found:
        assert await found.look() == "not used: it asks for an API key: http://:key@host:port"
        other.key = ""
        assert await found.look() == "it serves 'm'"
        found.replicas.lost(found.replicas.known[0], "it was lost: reset")
        assert found.replicas.next() is None
        assert await found.look() == "it serves 'm'"
        assert [fact.ok for fact in found.facts] == [False, True, False, True]


async def test_while_the_first_engine_is_away_none_is_used() -> None:
    async with looking(Upstream()) as found:
        found.up = False
        assert await found.look() == "not used: it serves 'm'; what the engine here serves is not known yet"
        found.up = True
        assert await found.look() == "it serves 'm'"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"hello", "not what an OpenAI-compatible server says"),
        (200, b"\xff", "not what an OpenAI-compatible server says"),
        (200, b"[" * 50_000, "not what an OpenAI-compatible server says"),
        (200, b"{}", "not what an OpenAI-compatible server says"),
        (200, b'{"data": 7}', "not what an OpenAI-compatible server says"),
        (200, b'{"data": [{}]}', "not what an OpenAI-compatible server says"),
        (200, b'{"data": ["m"]}', "not what an OpenAI-compatible server says"),
        (200, b'{"data": []}', "it serves no model"),
        (404, b"", "it answers /v1/models with HTTP 404"),
        (500, b"", "it answers /v1/models with HTTP 500"),
    ],
)
async def test_what_is_no_engine_is_told(status: int, body: bytes, words: str) -> None:
    class Odd(Upstream):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body)

    async with looking(Odd()) as found:
        told = await found.look()
        assert told.startswith("not used: ")
        assert words in told


async def test_one_that_redirects_is_not_used() -> None:
    """What is asked of it would be redirected too, and what is asked is not sent where nobody has said it may go."""

    class Moved(Upstream):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            if request.path == "/v1/models":
                raise web.HTTPTemporaryRedirect("/there/v1/models")
            return web.json_response({"data": [{"id": "m"}]})

    async with looking(Moved()) as found:
        told = "not used: it redirects (HTTP 307): the URL of the engine itself is wanted"
        assert await found.look() == told
        assert found.replicas.next() is None


@pytest.mark.parametrize("url", ["http://a..b:1", "http://a b:1", f"http://{'a' * 70}:1"])
async def test_a_host_that_is_no_name_is_told(url: str) -> None:
    async with looking(url) as found:
        assert (await found.look()).startswith("not used: it does not answer")


async def test_it_does_not_take_itself_for_another() -> None:
    async with looking("http://localhost:8330/v1") as found:
        assert await found.look() == f"not used: {ITSELF}"


async def test_that_there_is_only_one_is_said_when_another_is_wanted_and_each_time_again() -> None:
    async with looking("", wanted=False) as found:
        for found.wanted in (False, True, True, False, True):
            await found.look()
        assert [fact.detail for fact in found.facts] == [ONLY_ONE] * 2


async def test_each_in_its_turn() -> None:
    async with serving(Upstream()) as one, serving(Upstream()) as two:
        replicas = Replicas(
            [one.url, two.url], upstream=lambda: one.url, front=lambda: "", wanted=lambda: True,
            emit=lambda fact: None, now_ns=lambda: 1,
        )  # fmt: skip
        replicas.lost(replicas.known[0], "gone")
        async with aiohttp.ClientSession() as session:
            await replicas.look(session)
        assert {replicas.next() for _ in range(4)} == {replicas.known[1]}  # the first is this engine itself


async def test_it_looks_again_and_again_while_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.daemon.replicas.LOOK_PERIOD_S", 0.01)
    at = socket.socket()
    at.bind(("127.0.0.1", 0))  # nobody listens there yet
    async with looking(f"http://127.0.0.1:{at.getsockname()[1]}") as found:
        running = asyncio.create_task(found.replicas.run())
        async with asyncio.timeout(10):
            while not found.facts:  # noqa: ASYNC110 - nobody else is told
                await asyncio.sleep(0.005)
            other = Upstream()
            async with serving(other, at):
                while not found.facts[-1].ok:  # noqa: ASYNC110 - nobody else is told
                    await asyncio.sleep(0.005)
                running.cancel()
        assert found.replicas.words()[other.url] == "it serves 'm'"
