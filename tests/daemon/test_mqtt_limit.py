"""Brokers that take no large packets: the daemon stays connected, and says what is missing and what to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from background import beside
from brokers import Raw, open_raw, until
from structlog.testing import capture_logs

from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.broker_amqtt import MAX_BACKLOG_BYTES
from radixdeck.daemon.broker_mosquitto import find_mosquitto
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.mqtt_limit import HEAD_BYTES
from radixdeck.daemon.wire import ROOT, BrokerAddress, Command, Reply, Status

LIMIT_BYTES = 100_000
STATUS = f"{ROOT}/n1/status"
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@asynccontextmanager
async def narrow_broker(folder: Path) -> AsyncGenerator[BrokerAddress]:
    """A mosquitto that takes no packet over LIMIT_BYTES."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "narrow.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size {LIMIT_BYTES}\nuser root\n")
    program = find_mosquitto()
    assert program is not None
    child = await asyncio.create_subprocess_exec(
        program, "-c", str(settings), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    address = BrokerAddress(host="127.0.0.1", port=port)
    try:
        async with asyncio.timeout(10):
            while not await _answers(port):  # noqa: ASYNC110 - a child that is not ready says nothing
                await asyncio.sleep(0.02)
        yield address
    finally:
        child.terminate()
        await child.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running(address: BrokerAddress) -> AsyncGenerator[MqttLink]:
    async def refuse(command: Command) -> Reply:
        return Reply(id=command.id, state="refused")

    link = MqttLink(address, "n1", refuse)
    online = Status(node="n1", online=True, state="ready", detail="as before")
    link.publish("status", msgspec.json.encode(online), retain=True)
    async with beside(link.run()):
        await until(lambda: link.connected, "the link connects")
        yield link


async def statuses(raw: Raw, last: str) -> list[Status]:
    """Those that come, up to the one with `last` in its detail."""
    heard: list[Status] = []
    while not heard or last not in heard[-1].detail:
        heard.append(msgspec.json.decode((await raw.next()).payload, type=Status))
    return heard


@needs_mosquitto
async def test_what_is_too_large_is_held_back_and_told(tmp_path: Path) -> None:
    with capture_logs() as logs:
        await _hold_back(tmp_path)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["too large for the mqtt broker"]


async def _hold_back(folder: Path) -> None:
    async with narrow_broker(folder) as address, running(address) as link, open_raw(address, STATUS) as raw:
        for _ in range(3):
            link.publish("residency", bytes(2 * LIMIT_BYTES))
            await asyncio.sleep(0.05)
        heard = await statuses(raw, "max_packet_size")
        link.publish("residency", bytes(LIMIT_BYTES // 2))
        heard += await statuses(raw, "as before")
        assert all(status.online for status in heard)
        assert heard[-1].detail == "as before"
        told = {status.detail for status in heard} - {"as before"}
        assert told == {
            "as before; not published: residency (0.2 MB); the broker takes at most 100,000 bytes at a time: "
            "raise max_packet_size in its configuration"
        }
        assert link.connected


@needs_mosquitto
async def test_the_largest_that_the_broker_takes_arrives(tmp_path: Path) -> None:
    async with narrow_broker(tmp_path) as address, running(address) as link:
        async with open_raw(address, f"{ROOT}/n1/residency") as raw:
            most_bytes = LIMIT_BYTES - HEAD_BYTES - len(f"{ROOT}/n1/residency")
            for size in (most_bytes - 1, most_bytes + 1, most_bytes):
                link.publish("residency", bytes(size))
                await until(lambda: not len(link._outbox), "it does not take the place of the one before")
            sizes = [len((await raw.next()).payload) for _ in range(2)]
        assert sizes == [most_bytes - 1, most_bytes]
        assert link.connected


async def test_what_our_own_broker_would_drop_is_told(tmp_path: Path) -> None:
    async with (
        open_broker("amqtt", state_dir=tmp_path) as address,
        running(address) as link,
        open_raw(address, STATUS) as raw,
    ):
        link.publish("residency", bytes(MAX_BACKLOG_BYTES))
        heard = await statuses(raw, "install mosquitto")
    assert heard[-1].detail == (
        "as before; not published: residency (8.4 MB); the broker takes at most 8,388,608 bytes at a time: "
        "install mosquitto"
    )
