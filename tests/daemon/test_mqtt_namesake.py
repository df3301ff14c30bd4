"""Whoever else speaks under a daemon's name: it stays online for readers, and a second daemon is told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from background import beside
from brokers import Raw, open_raw, until

from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.mqtt_namesake import MOST, Namesakes
from radixdeck.daemon.wire import ROOT, BrokerAddress, Command, Reply, Status

STATUS = f"{ROOT}/n1/status"
OFFLINE = Status(node="n1", online=False, detail="the daemon is gone, without a goodbye")


def online(run: str, detail: str = "") -> bytes:
    return msgspec.json.encode(Status(node="n1", online=True, state="ready", run=run, detail=detail))


@asynccontextmanager
async def running(address: BrokerAddress, run: str, **more: Any) -> AsyncGenerator[MqttLink]:
    async def refuse(command: Command) -> Reply:
        return Reply(id=command.id, state="refused")

    link = MqttLink(address, "n1", refuse, **more)
    link.publish("status", online(run), retain=True)
    async with beside(link.run()):
        await until(lambda: link.connected, "the link connects")
        yield link


async def status_of(raw: Raw, run: str, *, alone: bool = True) -> Status:
    """The next status of that run, alone or beside another daemon."""
    while True:
        with suppress(msgspec.DecodeError):  # what is no status is said by a test
            status = msgspec.json.decode((await raw.next()).payload, type=Status)
            if (status.online, status.run, not status.detail) == (True, run, alone):
                return status


async def kept(broker: BrokerAddress) -> Status:
    async with open_raw(broker, STATUS) as raw:
        return msgspec.json.decode((await raw.next()).payload, type=Status)


def ignore(_node: str, _leaf: str, _payload: Any) -> None:
    pass


@pytest.mark.parametrize("more", [{}, {"on_others": ignore}], ids=["daemon", "proxy"])
@pytest.mark.parametrize("said", [msgspec.json.encode(OFFLINE), b"{", b""], ids=["last will", "garbage", "cleared"])
async def test_a_late_last_will_does_not_leave_a_daemon_offline(
    broker: BrokerAddress, said: bytes, more: dict[str, Any]
) -> None:
    async with running(broker, "mine", **more), open_raw(broker, STATUS) as raw:
        await status_of(raw, "mine")
        await raw.publish(STATUS, said, retain=True)
        await status_of(raw, "mine")
        assert (await kept(broker)).run == "mine"


async def test_of_two_daemons_each_says_that_there_is_another_until_one_goes(broker: BrokerAddress) -> None:
    async with open_raw(broker, STATUS) as raw, running(broker, "new"):
        await status_of(raw, "new")
        async with running(broker, "old"):
            told = await status_of(raw, "new", alone=False)
            assert told.detail == (
                "another daemon is called n1 too (run old): orders reach both; give one another --node"
            )
            assert "run new" in (await status_of(raw, "old", alone=False)).detail
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):  # and that is all that is said
                    await raw.next()
        assert (await status_of(raw, "new")).detail == ""
        assert (await kept(broker)).run == "new"


async def test_what_the_broker_kept_of_an_earlier_run_is_no_second_daemon(broker: BrokerAddress) -> None:
    async with open_raw(broker, STATUS) as raw:
        await raw.publish(STATUS, online("earlier"), retain=True)
        async with running(broker, "mine"):
            await status_of(raw, "mine")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await raw.next()


def test_each_other_run_is_answered_once() -> None:
    names = Namesakes("n1")
    names.said(online("mine"))
    assert not names.heard(online("mine"), retained=False)
    heard = [names.heard(online(f"r{number}"), retained=False) for number in (*range(MOST + 5), 0, 1)]
    assert heard == [True] * MOST + [False] * 7
    told = msgspec.json.decode(names.said(online("mine", "ready in 3 s")), type=Status)
    assert told.detail.startswith("ready in 3 s; another daemon is called n1 too (run r0, r1")


def test_a_goodbye_says_nothing_of_others() -> None:
    names = Namesakes("n1")
    names.said(online("mine"))
    names.heard(online("other"), retained=False)
    goodbye = msgspec.json.encode(OFFLINE)
    assert names.said(goodbye) == goodbye
    assert names.run == "mine"
