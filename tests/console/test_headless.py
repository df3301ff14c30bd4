"""`tail` and `act` without a terminal: what they print, and how they end."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from background import beside
from brokers import until

from radixdeck.console import headless
from radixdeck.console.headless import DONE, NO_DAEMON, REFUSED, UnknownKind, act, tail
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import BrokerAddress, Command, EventBatch, Reply, Status
from radixdeck.daemon.wire_client import named_source
from radixdeck.policies.events import CacheFlushed, SessionEnded, encode


async def on_command(command: Command) -> Reply:
    if command.arguments.get("agent") == "planner":
        return Reply(id=command.id, state="done", detail="warm", tokens=412)
    return Reply(id=command.id, state="refused", detail="no such agent")


@asynccontextmanager
async def running(address: BrokerAddress, node: str = "n1") -> AsyncGenerator[MqttLink]:
    link = MqttLink(address, node, on_command)
    link.publish("status", msgspec.json.encode(Status(node=node, online=True, state="ready")), retain=True)
    async with beside(link.run()):
        await until(lambda: link.connected, "connected")
        yield link


def happen(link: MqttLink, first_seq: int) -> None:
    events = [msgspec.Raw(encode(SessionEnded(t_ns=5, session="s"))), msgspec.Raw(encode(CacheFlushed(t_ns=6)))]
    link.publish("events", msgspec.json.encode(EventBatch(run="r", first_seq=first_seq, events=events)))


async def test_act_prints_the_reply_and_exits_by_it(broker: BrokerAddress) -> None:
    async with running(broker):
        out = io.StringIO()
        assert await act(broker, "warm", {"agent": "planner"}, out=out) == DONE
        assert await act(broker, "warm", {"agent": "nobody"}, node="n1", out=out) == REFUSED
    done, refused = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    assert (done["state"], done["tokens"]) == ("done", 412)
    assert (refused["state"], refused["detail"]) == ("refused", "no such agent")


async def test_a_broker_named_by_its_url_is_spoken_to_in_the_mqtt_it_knows(broker: BrokerAddress) -> None:
    """amqtt knows 3.1.1 only, and an URL cannot say so."""
    source = named_source(f"mqtt://{broker.username}:{broker.password}@{broker.host}:{broker.port}")
    out = io.StringIO()
    async with running(broker):
        assert await act(source, "warm", {"agent": "planner"}, out=out) == DONE
    assert msgspec.json.decode(out.getvalue())["state"] == "done"


async def test_a_broker_that_cannot_be_reached_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "FIND_S", 0.2)
    out = io.StringIO()
    assert await act(named_source("mqtt://me:secret@127.0.0.1:1"), "flush", {}, out=out) == NO_DAEMON
    assert "cannot connect to the broker at 127.0.0.1:1" in msgspec.json.decode(out.getvalue())["detail"]
    assert "secret" not in out.getvalue()


async def test_act_says_when_there_is_nobody_or_more_than_one(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless, "FIND_S", 0.5)
    out = io.StringIO()
    assert await act(broker, "flush", {}, out=out) == NO_DAEMON
    assert await act(BrokerAddress(host="127.0.0.1", port=1), "flush", {}, out=out) == NO_DAEMON
    async with running(broker, "a"), running(broker, "b"):
        assert await act(broker, "flush", {}, out=out) == NO_DAEMON
        assert await act(broker, "flush", {}, node="c", out=out) == NO_DAEMON
    printed = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    assert {one["state"] for one in printed} == {"unreachable"}
    details = [one["detail"] for one in printed]
    assert details[0] == "no daemon is online at this broker"
    assert details[1].startswith("no connection to the broker: ")
    assert details[2] == "2 daemons are online: a, b; choose one with --node"
    assert details[3] == "no daemon named 'c' is online at this broker"


async def test_tail_prints_events_as_lines_and_tells_losses(broker: BrokerAddress) -> None:
    out, notes = io.StringIO(), io.StringIO()
    async with running(broker) as link:
        task = asyncio.create_task(tail(broker, kinds=["session_ended"], out=out, notes=notes))
        first = 1

        def some_more() -> bool:
            nonlocal first
            happen(link, first)
            first += 2
            return bool(out.getvalue())

        await until(some_more, "tail is there")
        happen(link, first + 10)
        await until(lambda: "10 events were lost" in notes.getvalue(), "the loss is told")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    lines = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    assert {(line["node"], line["k"], line["session"]) for line in lines} == {("n1", "session_ended", "s")}
    assert lines[-1]["seq"] == first + 10


async def test_tail_ends_when_nobody_reads_any_more(broker: BrokerAddress) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    async with running(broker) as link:
        with os.fdopen(write_end, "w") as pipe:
            task = asyncio.create_task(tail(broker, out=pipe))
            count = iter(range(1, 10**9, 2))
            await until(lambda: happen(link, next(count)) or task.done(), "tail ends")
            await task
            with pytest.raises(BrokenPipeError):
                pipe.close()


async def test_tail_says_that_it_waits_for_a_daemon_and_prints_once_there_is_one(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless, "QUIET_S", 0.3)
    out, notes = io.StringIO(), io.StringIO()
    async with beside(tail(broker, out=out, notes=notes)):
        await until(notes.getvalue, "it says what it waits for")
        assert notes.getvalue() == "no daemon at this broker yet, waiting (Ctrl-C ends)\n"
        async with running(broker) as link:
            count = iter(range(1, 10**9, 2))
            await until(lambda: happen(link, next(count)) or out.getvalue(), "events are printed")
    assert notes.getvalue().count("\n") == 1


async def test_tail_says_again_what_it_waits_for(broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "SAY_AGAIN_S", 0.3)
    notes = io.StringIO()
    nobody = BrokerAddress(host="127.0.0.1", port=1)
    async with beside(tail(broker, node="n9", notes=notes)), beside(tail(nobody, notes=notes)):
        await until(lambda: notes.getvalue().count("no daemon named 'n9' at this broker yet, waiting") > 1, "nobody")
        await until(lambda: notes.getvalue().count("no connection to the broker (") > 1, "no broker")
    assert notes.getvalue().count("no connection to the broker, trying again (Ctrl-C ends): ") == 1


async def test_tail_gives_up_after_a_timeout_without_a_daemon(broker: BrokerAddress) -> None:
    notes = io.StringIO()
    assert await tail(broker, timeout_s=0.5, notes=notes) == NO_DAEMON
    assert notes.getvalue().endswith("no daemon at this broker: waited 0.5 s\n")
    assert await tail(BrokerAddress(host="127.0.0.1", port=1), timeout_s=0.5, notes=notes) == NO_DAEMON
    assert notes.getvalue().endswith(": waited 0.5 s\n")
    assert "no connection to the broker (" in notes.getvalue()


async def test_a_daemon_that_is_there_is_not_timed_out(broker: BrokerAddress) -> None:
    notes = io.StringIO()
    async with running(broker):
        task = asyncio.create_task(tail(broker, timeout_s=3.0, notes=notes))  # and is when it has gone
        await asyncio.sleep(3.5)
        assert not task.done()
        assert notes.getvalue() == ""
    assert await task == NO_DAEMON
    assert notes.getvalue().endswith("no daemon at this broker: waited 3 s\n")


async def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownKind, match=r"unknown event kind evicted; known: .*node_evicted"):
        await tail(BrokerAddress(host="127.0.0.1", port=1), kinds=["evicted"])
