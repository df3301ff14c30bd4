"""The daemon's link over real brokers: state, last will, and commands of every good and bad kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from background import beside
from brokers import Raw, Relay, mosquitto_child, open_raw, until

from radixdeck.daemon import mqtt
from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.broker_mosquitto import find_mosquitto
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.mqtt_commands import MAX_COMMAND_BYTES
from radixdeck.daemon.wire import ROOT, BrokerAddress, Command, Reply, Status

COMMANDS, REPLIES, STATUS = f"{ROOT}/n1/command", f"{ROOT}/n1/reply/me", f"{ROOT}/n1/status"
EVENTS = f"{ROOT}/n1/events"


async def done(command: Command) -> Reply:
    return Reply(id=command.id, state="done", detail=command.name, tokens=3)


@asynccontextmanager
async def running(
    address: BrokerAddress, handler: Callable[[Command], Awaitable[Reply]] = done
) -> AsyncGenerator[MqttLink]:
    link = MqttLink(address, "n1", handler)
    async with beside(link.run()):
        await until(lambda: link.connected, "the link connects")
        yield link


def order(**fields: Any) -> bytes:
    return msgspec.json.encode({"id": "c1", "client": "me", "name": "warm"} | fields)


async def next_reply(raw: Raw) -> Reply:
    return msgspec.json.decode((await raw.next()).payload, type=Reply)


async def next_status(raw: Raw) -> Status:
    return msgspec.json.decode((await raw.next()).payload, type=Status)


async def test_a_command_is_answered(broker: BrokerAddress) -> None:
    async with running(broker), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order(arguments={"agent": "planner"}))
        assert await next_reply(raw) == Reply(id="c1", state="done", detail="warm", tokens=3)


async def test_state_waits_for_whoever_comes_and_a_clean_end_says_goodbye(broker: BrokerAddress) -> None:
    async with running(broker) as link:
        link.publish("agents", b'{"run":"r","seq":1}', retain=True)
        link.publish("status", msgspec.json.encode(Status(node="n1", online=True, state="ready")), retain=True)
        async with open_raw(broker, STATUS) as raw:
            while (await next_status(raw)).state != "ready":
                pass
        async with open_raw(broker, f"{ROOT}/n1/agents") as raw:
            message = await raw.next()
            assert (message.payload, message.retain) == (b'{"run":"r","seq":1}', True)
    async with open_raw(broker, STATUS) as raw:
        status = await next_status(raw)
        assert (status.online, status.state, status.detail) == (False, "offline", "stopped")


async def test_what_is_queued_goes_out_before_the_goodbye(broker: BrokerAddress) -> None:
    async with open_raw(broker, EVENTS) as raw:
        async with running(broker) as link:
            for words in (b"last words", b"and more", b"of them"):
                link.publish("events", words)
        heard: list[Any] = []
        while b"of them" not in heard:
            heard.append((await raw.next()).payload)
        # The one that was being sent when the end came may come twice: readers know it by its number.
        assert list(dict.fromkeys(heard)) == [b"last words", b"and more", b"of them"]
    async with open_raw(broker, STATUS) as raw:
        assert (await next_status(raw)).detail == "stopped"


async def test_a_goodbye_does_not_wait_for_all_that_is_queued(broker: BrokerAddress) -> None:
    async with running(broker) as link:
        send = link._send  # pyright: ignore[reportPrivateUsage]

        async def slowly(client: Any, item: Any) -> None:
            await asyncio.sleep(0.2 if item.leaf == "events" else 0.0)
            await send(client, item)

        link._send = slowly  # pyright: ignore[reportPrivateUsage]
        for _ in range(20):
            link.publish("events", b"queued")
    async with open_raw(broker, STATUS) as raw:
        assert (await next_status(raw)).detail == "stopped"


async def test_a_cut_is_told_by_the_last_will_and_healed_with_all_state(broker: BrokerAddress) -> None:
    async with Relay(broker) as relay, running(relay.address) as link, open_raw(broker, STATUS) as raw:
        link.publish("status", msgspec.json.encode(Status(node="n1", online=True, state="ready")), retain=True)
        while (await next_status(raw)).state != "ready":
            pass
        relay.cut()
        status = await next_status(raw)
        assert not status.online
        assert "without a goodbye" in status.detail
        await until(lambda: not link.connected, "the link notices")
        link.publish("policies", b'{"policies":[]}', retain=True)
        link.publish("events", b"meanwhile")
        await raw.client.subscribe(EVENTS, qos=1)
        await relay.mend()
        assert await next_status(raw) == Status(node="n1", online=True, state="ready")
        assert (await raw.next()).payload == b"meanwhile"
        async with open_raw(broker, f"{ROOT}/n1/policies") as late:
            assert (await late.next()).payload == b'{"policies":[]}'


async def test_publishing_never_waits_and_never_grows_without_a_broker() -> None:
    """Nobody listens at all: a flood of events is bounded, and the newest are what is kept."""
    link = MqttLink(BrokerAddress(host="127.0.0.1", port=1), "n1", done)
    chunk = bytes(1 << 20)
    for _ in range(3 * (mqtt.MAX_OUTBOX_BYTES >> 20)):
        link.publish("events", chunk)
        link.publish("metrics", chunk)
        link.publish("agents", chunk, retain=True)
    assert link.dropped == 2 * (mqtt.MAX_OUTBOX_BYTES >> 20)
    assert not link.connected


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_a_frozen_broker_blocks_neither_publishing_nor_the_end(tmp_path: Path) -> None:
    async with open_broker("mosquitto", state_dir=tmp_path) as address, running(address) as link:
        child = mosquitto_child()
        child.suspend()
        for _ in range(4 * (mqtt.MAX_OUTBOX_BYTES >> 20)):
            link.publish("events", bytes(1 << 20))
        assert link.dropped >= 3 * (mqtt.MAX_OUTBOX_BYTES >> 20) - 1
    assert not link.connected


async def test_two_clients_get_their_own_answers(broker: BrokerAddress) -> None:
    async with running(broker), open_raw(broker, REPLIES) as one, open_raw(broker, f"{ROOT}/n1/reply/you") as two:
        await one.publish(COMMANDS, order(id="a"))
        await two.publish(COMMANDS, order(id="b", client="you"))
        assert (await next_reply(one)).id == "a"
        assert (await next_reply(two)).id == "b"


async def test_the_same_id_is_carried_out_once_even_while_it_runs(broker: BrokerAddress) -> None:
    calls, finish = [], asyncio.Event()

    async def slow(command: Command) -> Reply:
        calls.append(command)
        await finish.wait()
        return Reply(id=command.id, state="done", detail=f"call {len(calls)}")

    async with running(broker, slow), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order())
        assert (await next_reply(raw)).state == "accepted"
        await raw.publish(COMMANDS, order())
        assert (await next_reply(raw)).state == "accepted"
        finish.set()
        answers = [await next_reply(raw), await next_reply(raw)]
        await raw.publish(COMMANDS, order(arguments={"agent": "another"}))
        answers.append(await next_reply(raw))
    assert [(a.state, a.detail) for a in answers] == [("done", "call 1")] * 3
    assert len(calls) == 1


async def test_a_slow_command_does_not_hold_up_the_next(broker: BrokerAddress) -> None:
    never = asyncio.Event()

    async def handler(command: Command) -> Reply:
        if command.name == "warm":
            await never.wait()
        return await done(command)

    async with running(broker, handler), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order(id="slow"))
        await raw.publish(COMMANDS, order(id="quick", name="flush"))
        assert (await next_reply(raw)) == Reply(id="quick", state="done", detail="flush", tokens=3)


async def test_a_handler_that_raises_is_a_refusal_in_words(broker: BrokerAddress) -> None:
    async def handler(command: Command) -> Reply:
        raise KeyError("planner")

    async with running(broker, handler), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order())
        assert await next_reply(raw) == Reply(id="c1", state="refused", detail="KeyError: 'planner'")


REFUSED = [
    (order(name="fly"), "unknown command 'fly'; known: watch, warm"),
    (order(name=7), "unknown command '7'"),
    (order(expires_ns=1), "expired"),
    (order(colour="red"), "unknown field `colour`"),
    (order(arguments=[1, 2]), r"Expected `object`, got `array` - at `\$.arguments`"),
    (order(why=b"x" * MAX_COMMAND_BYTES), "at most 65536"),
]


@pytest.mark.parametrize(("payload", "words"), REFUSED, ids=[words[:16] for _, words in REFUSED])
async def test_a_bad_command_is_refused_in_words(broker: BrokerAddress, payload: bytes, words: str) -> None:
    async def handler(command: Command) -> Reply:
        raise AssertionError("must not be carried out")

    async with running(broker, handler), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, payload)
        answer = await next_reply(raw)
    assert answer.state == "refused"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(answer.detail)


GARBAGE = [
    b"\x00\xff\xfe binary \x80",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b"[" * 60_000,
    b'{"id":"c1","client":"me","name":"warm","arguments":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
    b'{"id":"c1"}',
    b'{"id":1,"client":"me","name":"warm"}',
    order(client="me/../../n2/command"),
    order(client="#"),
    order(client=""),
    order(id=""),
    order(id="x" * 1_000),
    order(client="me\u0000"),
    b" " * (2 << 20),
]


async def test_garbage_is_counted_and_the_next_command_works(broker: BrokerAddress) -> None:
    async with running(broker) as link, open_raw(broker, f"{ROOT}/n1/reply/+") as raw:
        for payload in GARBAGE:
            await raw.publish(COMMANDS, payload)
        await raw.publish(COMMANDS, b"")
        await raw.publish(COMMANDS, order())
        message = await raw.next()
        assert str(message.topic) == REPLIES
        assert msgspec.json.decode(message.payload, type=Reply).state == "done"
        assert link.bad_commands == len(GARBAGE)


async def test_a_retained_command_does_not_fire_at_each_connection(broker: BrokerAddress) -> None:
    async with open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order(id="old"), retain=True)
        async with running(broker) as link:
            await until(lambda: link.bad_commands == 1, "the retained command is seen")
            await raw.publish(COMMANDS, order(id="new"))
            assert (await next_reply(raw)).id == "new"


async def test_a_command_that_expires_later_is_carried_out(broker: BrokerAddress) -> None:
    async with running(broker), open_raw(broker, REPLIES) as raw:
        await raw.publish(COMMANDS, order(expires_ns=time.time_ns() + 60 * 10**9))
        assert (await next_reply(raw)).state == "done"


def test_a_node_name_that_would_change_the_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="node name"):
        MqttLink(BrokerAddress(host="h", port=1), "n1/#", done)
