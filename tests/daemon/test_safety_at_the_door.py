"""The safety policy in a whole daemon and at the door: rules in a file that changes, secrets that stay secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from background import beside
from brokers import open_raw
from front_harness import TOOL_CALL, stack
from test_without_engine import ask, config

from radixdeck.daemon.clock import now_ns
from radixdeck.daemon.config import ConfigError, PolicySection, load_config
from radixdeck.daemon.front_door import Door
from radixdeck.daemon.main import log_to_file
from radixdeck.daemon.rules_files import RulesFiles, checked_rules
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.daemon.wire import BrokerAddress
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.doorkeeping import RulesError
from radixdeck.policies.events import RequestRefused, RulesRead
from radixdeck.storage.session import open_session

PUBLISHED = (b"request_refused", b"/policies", b"/agents", b"/residency", b"/metrics")
FUNCTION = {"type": "function", "function": {"name": "shell", "parameters": {}}}


def guarded(rules: str) -> Door:
    door = Door(DoorHost(["safety"]), now_ns)
    door.obey("safety", rules)
    return door


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [], "tools": [FUNCTION]}),
        ("/v1/chat/completions", {"messages": [], "functions": [{"name": "shell"}]}),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "function", "name": "shell"}]}),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "shell"}]}),
        ("/v1/messages", {"messages": [], "max_tokens": 5, "tools": [{"name": "shell", "input_schema": {}}]}),
    ],
)
async def test_a_tool_is_refused_in_every_shape(path: str, body: dict[str, Any]) -> None:
    async with stack(door=guarded('[everybody]\ntools = ["search"]')) as s:
        status, answer = await s.post(path, body)
        assert (status, "may not use tool 'shell'" in answer["error"]["message"]) == (403, True)
        assert s.of(RequestRefused)[0].by == "safety"
        assert not s.upstream.requests


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/chat/completions", {"messages": []}, ["max_tokens"]),
        ("/v1/chat/completions", {"messages": [], "max_completion_tokens": 99}, ["max_completion_tokens"]),
        ("/v1/chat/completions", {"messages": [], "max_tokens": 0}, ["max_tokens"]),
        ("/v1/chat/completions", {"messages": [], "max_tokens": 40.0}, ["max_tokens"]),
        ("/v1/chat/completions", {"messages": [], "max_tokens": True}, ["max_tokens"]),
        ("/v1/completions", {"prompt": "hi", "max_tokens": "99"}, ["max_tokens"]),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 99}, ["max_output_tokens"]),
        ("/v1/messages", {"messages": [], "max_tokens": 99}, ["max_tokens"]),
        (
            "/generate",
            {"text": "hi", "sampling_params": {"max_new_tokens": None}},
            ["sampling_params", "max_new_tokens"],
        ),
        ("/generate", {"text": "hi", "sampling_params": {"max_new_tokens": 99}}, ["sampling_params", "max_new_tokens"]),
    ],
)
async def test_output_is_limited_wherever_a_route_says_how_much(
    path: str, body: dict[str, Any], where: list[str]
) -> None:
    async with stack(door=guarded("[everybody]\nmax_output_tokens = 30")) as s:
        await s.post(path, body)
        sent = s.upstream.last
        for key in where:
            sent = sent[key]
        assert (type(sent), sent) == (int, 30)


@pytest.mark.parametrize(("limit", "sent"), [(30, [16, 30]), (500, [16, 128]), (9, [9, 9])])
async def test_a_limit_does_not_raise_what_sglang_writes_unasked(limit: int, sent: list[int]) -> None:
    async with stack(door=guarded(f"[everybody]\nmax_output_tokens = {limit}")) as s:
        await s.post("/v1/completions", {"prompt": "hi"})
        completion = s.upstream.last["max_tokens"]
        await s.post("/generate", {"text": "hi"})
        assert [completion, s.upstream.last["sampling_params"]["max_new_tokens"]] == sent


@pytest.mark.parametrize(("model", "named"), [("m:other", "'other'"), ("other:m", "'other'"), ("m: m", ""), (":m", "")])
async def test_an_adapter_behind_the_models_name_is_a_model_too(model: str, named: str) -> None:
    async with stack(door=guarded('[everybody]\nmodels = ["default", "m"]')) as s:
        status, answer = await s.post("/v1/completions", {"prompt": "hi", "model": model})
        assert (status, f"may not use model {named}" in str(answer)) == ((403, True) if named else (200, False))


async def test_parameters_that_are_lists_of_lists_are_refused_and_give_the_place_back() -> None:
    door = guarded("[everybody]\nmax_output_tokens = 30")
    async with stack(door=door) as s:
        nested: Any = [{"max_new_tokens": 99}]
        for _ in range(3):
            nested = [nested]
            assert (await s.post("/generate", {"text": "hi", "sampling_params": nested}))[0] == 400
        assert not door._inside
        assert not s.upstream.requests


async def test_an_adapter_is_a_model_too_and_each_of_a_list_of_parameters_is_limited() -> None:
    rules = '[everybody]\nmodels = ["default", "m"]\nmax_output_tokens = 30'
    async with stack(door=guarded(rules)) as s:
        assert (await s.post("/generate", {"text": "hi", "lora_path": ["m", "other"]}))[0] == 403
        listed = [{"max_new_tokens": 99}, {"max_new_tokens": 3}, {}]
        assert (await s.post("/generate", {"text": "hi", "sampling_params": listed}))[0] == 200
        assert [one["max_new_tokens"] for one in s.upstream.last["sampling_params"]] == [30, 3, 30]


async def test_tokens_of_a_stream_count(caplog: pytest.LogCaptureFixture) -> None:
    async with stack(door=guarded("[agents.a]\ntokens_per_minute = 14")) as s:
        for expected in (200, 429):
            async with s.client.post(
                s.url + "/v1/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True},
                headers={"x-agent-id": "a"},
            ) as answer:
                await answer.read()
                assert answer.status == expected


def test_a_file_that_changes_is_read_again_and_a_bad_one_leaves_the_rules_that_hold(tmp_path: Path) -> None:
    path, told, taken = tmp_path / "safety.toml", [], []
    door = Door(DoorHost(["safety"]), now_ns)

    def obey(policy: str, rules: str) -> None:
        door.obey(policy, rules)
        taken.append(rules)

    files = RulesFiles({"safety": str(path)}, obey, told.append, now_ns)
    for text in ("[everybody]\ntools = []\n", "[everybody]\ntool = []\n", "[everybody]\nmodels = []\n"):
        path.write_text(text)
        for _ in range(3):
            files.look()
    path.unlink()
    for _ in range(3):
        files.look()
    assert [(fact.ok, fact.detail.split(";")[0].split(":")[0]) for fact in told] == [
        (True, ""), (False, "line 2"), (True, ""), (False, "cannot be read"),
    ]  # fmt: skip
    assert [rules.split()[1] for rules in taken] == ["tools", "models"]


def test_a_half_written_file_is_not_obeyed(tmp_path: Path) -> None:
    path, taken = tmp_path / "safety.toml", []
    files = RulesFiles({"safety": str(path)}, lambda _, rules: taken.append(rules), lambda _: None, now_ns)
    for text in ("all", "h", "half", "whole"):
        path.write_text(text)
        files.look()
    files.look()
    files.look()
    assert taken == ["all", "whole"]


def test_rules_that_nobody_can_read_are_told_of(tmp_path: Path) -> None:
    path, told = tmp_path / "safety.toml", []
    path.write_text("a = " + "[" * 5_000 + "]" * 5_000)
    RulesFiles({"safety": str(path)}, Door(DoorHost(["safety"]), now_ns).obey, told.append, now_ns).look()
    assert [(fact.ok, fact.detail.split(":")[0]) for fact in told] == [(False, "RecursionError")]
    with pytest.raises(RulesError, match=r"rules of safety \(.*\): RecursionError"):
        checked_rules({"safety": str(path)})


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[everybody]\ntools = 3", r"rules of safety \(.*safety\.toml\): line 2: everybody\.tools: Expected `array"),
        (None, r"rules of safety \(.*safety\.toml\): cannot be read: No such file"),
    ],
)
def test_a_daemon_does_not_start_on_rules_it_cannot_use(tmp_path: Path, rules: str | None, words: str) -> None:
    path = tmp_path / "safety.toml"
    if rules is not None:
        path.write_text(rules)
    with pytest.raises(ConfigError, match=words):
        load_config(None, {"policy": {"rules": {"safety": str(path)}}})
    with pytest.raises(ConfigError, match=r"rules of lru .*takes no rules"):
        load_config(None, {"policy": {"rules": {"lru": str(path)}}})


class Ear:
    """Everything that is published, as bytes; `whole` once something of every kind was heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.whole = asyncio.Event()

    async def listen(self, address: BrokerAddress) -> None:
        async with open_raw(address, "#") as raw:
            async for message in raw.client.messages:
                self.heard.append(str(message.topic).encode() + bytes(message.payload))
                if all(any(what in said for said in self.heard) for what in PUBLISHED):
                    self.whole.set()


@pytest.mark.usefixtures("daemon_log")
async def test_no_secret_is_logged_recorded_or_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"key": "sk-KEY-7f3a", "wrong": "sk-WRONG-91c2", "prompt": "PROMPT-5d0e", "tool": "ARGUMENT-b81f"}
    rules = tmp_path / "safety.toml"
    rules.write_text("[everybody]\nmax_output_tokens = 9\nrequests_per_minute = 3\n")
    section = PolicySection(enabled=["kv_caching", "safety"], rules={"safety": str(rules)})
    settings = config(tmp_path, api_keys={secrets["key"]: "acme"}, policy=section)
    log_to_file(settings)
    ear = Ear()
    async with open_daemon(settings) as daemon, stack() as s, beside(ear.listen(daemon.broker)):
        await _talk(daemon, secrets)
        monkeypatch.setattr(daemon.engine.__class__, "url", property(lambda engine: s.upstream.url))
        await _talk(daemon, secrets)
        assert "/v1/chat/completions" in {path for path, _, _ in s.upstream.requests}
        assert {ruling.what for ruling in daemon.state.rulings["safety"].recent} == {"let in", "refused"}
        await daemon.command("watch", {"resync": True})
        await asyncio.wait_for(ear.whole.wait(), 10)
        await asyncio.sleep(1.3)
        recording = daemon.recording
    shown = b"".join(ear.heard) + recording.read_bytes() + _all_logs(tmp_path)
    assert b"request_refused" in shown
    assert b"policy" in b"".join(ear.heard)
    assert {name for name, secret in secrets.items() if secret.encode() in shown} == set()


def _all_logs(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*.log"))


async def _talk(daemon: Daemon, secrets: dict[str, str]) -> None:
    """Requests that are refused in every way that quotes what they hold."""
    call = {**TOOL_CALL, "function": {"name": "search", "arguments": f'{{"token": "{secrets["tool"]}"}}'}}
    said = [{"role": "user", "content": secrets["prompt"]}, {"role": "assistant", "tool_calls": [call]}]
    url = f"{daemon.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        for key, body in (
            (secrets["key"], {"messages": said}),
            (secrets["key"], {"messages": said, "cache_salt": 7}),
            (secrets["key"], {"messages": said, "max_tokens": 99}),
            (secrets["key"], {"messages": said, "max_tokens": 5}),
            (secrets["key"], secrets["prompt"]),
            (secrets["key"], {"messages": secrets["prompt"]}),
            (secrets["wrong"], {"messages": said}),
        ):
            async with session.post(url, json=body, headers={"Authorization": f"Bearer {key}"}) as answer:
                await answer.read()


async def test_a_whole_daemon_tells_of_its_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "safety.toml"
    rules.write_text("[everybody]\ntools = []\n")
    section = PolicySection(enabled=["safety"], rules={"safety": str(rules)})
    async with open_daemon(config(tmp_path, policy=section)) as daemon:
        changed, emit = asyncio.Event(), daemon.rules._emit
        monkeypatch.setattr(daemon.rules, "_emit", lambda fact: (emit(fact), changed.set()))
        rules.write_text("[everybody]\ntools = 3\n")
        async with asyncio.timeout(10):
            await changed.wait()
        assert (await ask(daemon))[0] == 503
        recording = daemon.recording
    session = open_session(recording)
    try:
        told = [event for _, event in session.events(0, 100) if isinstance(event, RulesRead)]
        assert [(fact.ok, fact.detail[:8]) for fact in told] == [(True, ""), (False, "line 2: ")]
    finally:
        session.close()
