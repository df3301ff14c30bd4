"""A whole daemon with hedging on: with one engine it says that, with a second one what that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from front_harness import Upstream, serving

from radixdeck.console.rulings import door_words
from radixdeck.daemon.config import DaemonConfig, PolicySection
from radixdeck.daemon.engine.args import EngineSpec
from radixdeck.daemon.runtime import Daemon, open_daemon
from radixdeck.storage.session import open_session


def config(home: Path, *replicas: str) -> DaemonConfig:
    spec = EngineSpec(model=str(home / "no-model"), device="cpu", replicas=replicas)
    policy = PolicySection(enabled=["lru", "hedging"])
    return DaemonConfig(node="two", port=0, broker="amqtt", home=str(home), engine=spec, policy=policy)


async def said(daemon: Daemon, true: Callable[[str], bool]) -> str:
    """What the console says of the policy, once that is so."""
    async with asyncio.timeout(20):
        while not true(words := door_words("hedging", daemon.state)):  # noqa: ASYNC110 - nobody else is told
            await asyncio.sleep(0.02)
    return words


async def test_with_one_engine_the_console_says_so(tmp_path: Path) -> None:
    async with open_daemon(config(tmp_path)) as daemon:
        assert "only one engine is known, so no request is sent twice" in await said(daemon, bool)
        assert list(daemon.replicas.words()) == [""]


async def test_a_second_engine_is_told_of_without_its_key(tmp_path: Path) -> None:
    other = Upstream()
    other.key = "secret"
    async with serving(other), open_daemon(config(tmp_path, other.url.replace("://", "://:secret@"))) as daemon:
        words = await said(daemon, lambda words: "serves" in words)
        assert f"{other.url} cannot be used: it serves 'm'; what the engine here serves is not known yet" in words
        recording = daemon.recording
    with open_session(recording) as session:
        assert session.info.config["engine"]["replicas"] == [other.url]
    assert b"secret" not in recording.read_bytes()


async def test_a_stranger_is_named(tmp_path: Path) -> None:
    async with open_daemon(config(tmp_path, "http://127.0.0.1:9")) as daemon:
        assert "http://127.0.0.1:9 cannot be used: it does not answer: " in await said(daemon, bool)
