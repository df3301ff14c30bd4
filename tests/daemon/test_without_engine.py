"""A whole daemon whose engine cannot start: it lives, says so, refuses in words, and keeps what it is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from brokers import until

from radixdeck.daemon import look_again
from radixdeck.daemon.config import DaemonConfig
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.engine.launch import EngineNotReady
from radixdeck.daemon.engine.protocol import Hello, Order, Snapshot
from radixdeck.daemon.front_errors import FrontError
from radixdeck.daemon.link import EngineLink
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.policies.events import CommandReceived, EventsDropped
from radixdeck.storage.files import SUFFIX
from radixdeck.storage.session import open_session

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def config(home: Path, **more: Any) -> DaemonConfig:
    spec = EngineSpec(model=str(home / "no-model"), device="cpu")
    return DaemonConfig(node="bare", port=0, broker="amqtt", home=str(home), engine=spec, **more)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncGenerator[Daemon]:
    async with open_daemon(config(tmp_path)) as running:
        yield running


async def ask(daemon: Daemon, agent: str = "a") -> tuple[int, dict[str, Any], Any]:
    headers = {"x-agent-id": agent}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{daemon.url}/v1/chat/completions", json=CHAT, headers=headers) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def test_requests_are_told_to_come_back(daemon: Daemon) -> None:
    status, body, headers = await ask(daemon)
    assert status == 503
    assert body["error"]["type"] == "engine_unavailable"
    assert body["error"]["retryable"] is True
    assert int(headers["Retry-After"]) >= 1
    assert daemon.state.totals.refused == 1


async def test_the_engines_log_has_the_nodes_name(tmp_path: Path) -> None:
    told = config(tmp_path)
    spec = EngineSpec(model=str(tmp_path), python="false", device="cpu")
    async with open_daemon(msgspec.structs.replace(told, engine=spec)) as daemon:
        with pytest.raises(EngineNotReady):
            await daemon.engine.wait_ready(3)
        assert list(daemon.paths.logs.glob("engine-bare-*.log"))


async def test_the_front_hears_of_sessions_that_are_over(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    over: list[str] = []
    monkeypatch.setattr(daemon.front, "session_over", over.append)
    url = f"{daemon.url}/radixdeck/sessions/one/end"
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        assert over == [(await answer.json())["session"]]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("pin", {"agent": "nobody"}, "no agent 'nobody'"),
        ("pin", {}, "give either agent or node"),
        ("pin", {"agent": "x", "node": 1}, "give either agent or node"),
        ("evict", {"node": 7}, "node 7 is not resident"),
        ("evict", {"node": "7"}, "node"),
        ("retain", {"agent": "x", "half_life_s": -0.01}, "half_life_s"),
        ("boost", {"agent": "x", "amount": 1e308}, "amount"),
        ("boost", {"agent": "x"}, "amount"),
        ("warm", {"agent": "x", "colour": 1}, "colour"),
        ("policy", {"name": "nonsense", "enabled": True}, "nonsense"),
        ("tune", {"policy": "kv_caching", "name": "liveness", "value": 7}, "0 to 1"),
        ("end_session", {"session": "s"}, "no live session 's'"),
        ("flush", {}, "engine is"),
    ],
)
async def test_orders_are_refused_in_words(daemon: Daemon, name: str, arguments: dict[str, Any], words: str) -> None:
    reply = await daemon.command(name, arguments)
    assert reply.state == "refused"
    assert words in reply.detail


async def test_a_quarantine_holds_without_an_engine(daemon: Daemon) -> None:
    await ask(daemon, "loud")
    assert (await daemon.command("quarantine", {"agent": "loud"}, why="test")).state == "done"
    assert daemon.state.agents["loud"].quarantined
    status, body, _ = await ask(daemon, "loud")
    assert status == 403
    assert "quarantined" in body["error"]["message"]
    assert (await daemon.command("release", {"agent": "loud"})).state == "done"
    assert (await ask(daemon, "loud"))[0] == 503


async def test_what_happened_is_in_the_recording(tmp_path: Path) -> None:
    async with open_daemon(config(tmp_path, api_keys={"sk-very-secret": "acme"})) as daemon:
        await daemon.command("pin", {"agent": "nobody"}, why="because")
        recording = daemon.recording
    session = open_session(recording)
    try:
        orders = [event for _, event in session.events(0, 100) if isinstance(event, CommandReceived)]
        assert [(order.name, order.ok) for order in orders] == [("pin", False)]
        assert session.ended
    finally:
        session.close()
    assert b"sk-very-secret" not in recording.read_bytes()


async def test_that_a_console_looks_on_is_no_order(daemon: Daemon) -> None:
    """It says so again and again, and would fill the recording."""
    before = daemon.journal.seq
    assert (await daemon.command("watch")).state == "done"
    assert daemon.journal.seq == before


async def test_a_number_beyond_all_bounds_is_recorded_as_text(tmp_path: Path) -> None:
    """Whoever reads the recording would stumble over it."""
    async with open_daemon(config(tmp_path)) as daemon:
        await daemon.command("boost", {"agent": "x", "amount": 10**400})
        await daemon.command("pin", {"node": -(10**400)})
        recording = daemon.recording
    with open_session(recording) as session:
        orders = [event.arguments for _, event in session.events(0, 100) if isinstance(event, CommandReceived)]
    assert orders == [{"agent": "x", "amount": f"1{31 * '0'}..."}, {"node": f"-1{30 * '0'}..."}]


async def test_a_taken_port_is_said_and_leaves_no_empty_run(daemon: Daemon, tmp_path: Path) -> None:
    port = int(daemon.url.rsplit(":", 1)[1])
    other = tmp_path / "other"
    told = DaemonConfig(node="other", port=port, broker="amqtt", home=str(other), engine=daemon.config.engine)
    with pytest.raises(FrontError, match=str(port)):
        async with open_daemon(told):
            pass
    assert list((other / "runs").glob("*.db")) == []


async def test_a_long_home_still_has_a_link(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 90)
    async with open_daemon(config(home)) as daemon:
        assert (await ask(daemon))[0] == 503


async def test_a_taken_port_is_said_also_where_the_empty_run_cannot_be_deleted(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == SUFFIX:
            raise PermissionError("not yours")
        unlink(path, missing_ok)

    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", refuse)
    told = DaemonConfig(
        node="other", port=int(daemon.url.rsplit(":", 1)[1]), broker="amqtt", home=str(tmp_path / "other"),
        engine=daemon.config.engine,
    )  # fmt: skip
    with pytest.raises(FrontError):
        async with open_daemon(told):
            pass


async def test_every_loss_of_events_has_the_tree_told_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Order] = []

    def second_time(_: EngineLink, order: Order) -> bool:
        sent.append(order)
        return len(sent) > 1

    monkeypatch.setattr(look_again, "RETRY_S", 0.01)
    monkeypatch.setattr(EngineLink, "send", second_time)
    async with open_daemon(config(tmp_path)) as daemon:
        daemon._on_engine(0, [EventsDropped(t_ns=1, count=5)])
        await until(lambda: len(sent) == 2, "it is tried again")
    assert all(isinstance(order, Snapshot) for order in sent)


async def test_an_engine_that_connects_has_the_status_said_anew(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have said before that the cache is not watched."""
    said: list[str] = []
    monkeypatch.setattr(daemon.mqtt, "publish", lambda leaf, *_, **__: said.append(leaf))
    daemon._on_hello(Hello(1, 0))
    assert "status" in said
