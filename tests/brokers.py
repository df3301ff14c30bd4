"""Real brokers, plain clients and a network that can be cut, for every test that speaks MQTT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiomqtt
import msgspec
import psutil
import pytest

from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.broker_mosquitto import find_mosquitto
from radixdeck.daemon.wire import BrokerAddress
from radixdeck.daemon.wire_client import new_client, new_identifier

PATIENCE_S = 20.0


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker_kind(request: pytest.FixtureRequest) -> str:
    if request.param == "mosquitto" and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    return request.param


@pytest.fixture
async def broker(broker_kind: str, tmp_path: Path) -> AsyncIterator[BrokerAddress]:
    async with open_broker(broker_kind, state_dir=tmp_path) as address:
        yield address


def mosquitto_child() -> psutil.Process:
    """The mosquitto that this process has started."""
    (child,) = [one for one in psutil.Process().children() if one.name() == "mosquitto"]
    return child


class Raw:
    """A plain MQTT client beside ours: publishes anything, keeps what it gets."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def next(self) -> aiomqtt.Message:
        async with asyncio.timeout(PATIENCE_S):
            return await anext(aiter(self.client.messages))

    async def publish(self, topic: str, payload: Any, qos: int = 1, retain: bool = False) -> None:
        await self.client.publish(topic, payload, qos=qos, retain=retain)


@asynccontextmanager
async def open_raw(address: BrokerAddress, *filters: str) -> AsyncGenerator[Raw]:
    async with new_client(address, new_identifier("raw")) as client:
        for one in filters:
            await client.subscribe(one, qos=1)
        yield Raw(client)


class Relay:
    """A piece of network between a client and the broker. `cut` breaks it without a goodbye, `mend` lets it heal."""

    def __init__(self, target: BrokerAddress) -> None:
        self._target = target
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> BrokerAddress:
        return msgspec.structs.replace(self._target, port=self._port)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._open |= {writer, onward_writer}
        await asyncio.gather(self._pump(reader, onward_writer), self._pump(onward_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


async def until(condition: Any, what: str) -> None:
    """Wait for a condition that other tasks bring about."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - a condition of other people's objects has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE_S:g} s: {what}")
