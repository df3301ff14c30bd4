"""The feed over real brokers, against the real link of a daemon: state, events once and in order, commands, losses.

Over 300 lines because every test here needs the same reader and the same daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from background import beside
from brokers import PATIENCE_S, Relay, mosquitto_child, open_raw, until

from radixdeck.console import feed_mqtt
from radixdeck.console.feed_messages import (
    Connection,
    NodeAgents,
    NodeCleared,
    NodeEvents,
    NodeKeyframe,
    NodeMetrics,
    NodeStatus,
)
from radixdeck.console.feed_mqtt import MqttFeed
from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.broker_mosquitto import find_mosquitto
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import (
    ROOT,
    AgentsTable,
    BrokerAddress,
    Command,
    EventBatch,
    Keyframe,
    Metrics,
    PoliciesTable,
    Reply,
    Status,
)
from radixdeck.policies.events import SessionEnded, encode
from radixdeck.policies.residency import RunState


class Daemon:
    """As much of a daemon as MQTT sees: a run with numbered events, and a keyframe for who asks."""

    def __init__(self, address: BrokerAddress, node: str = "n1", run: str = "r1") -> None:
        self.run, self.seq = run, 0
        self.commands: list[Command] = []
        self.link = MqttLink(address, node, self._on_command)
        self.publish("status", Status(node=node, online=True, run=run, state="ready"), retain=True)
        self.publish("policies", PoliciesTable(dispatches=1), retain=True)

    def publish(self, leaf: str, message: msgspec.Struct, *, retain: bool = False) -> None:
        self.link.publish(leaf, msgspec.json.encode(message), retain=retain)

    def happen(self, count: int) -> None:
        events = [msgspec.Raw(encode(SessionEnded(t_ns=self.seq + i, session="s"))) for i in range(1, count + 1)]
        self.publish("events", EventBatch(run=self.run, first_seq=self.seq + 1, events=events))
        self.seq += count

    async def _on_command(self, command: Command) -> Reply:
        if command.name == "watch":
            if command.arguments.get("resync"):
                state = RunState(t_ns=self.seq)
                self.publish("residency", Keyframe(run=self.run, seq=self.seq, t_ns=self.seq, state=state))
        else:
            self.commands.append(command)
        return Reply(id=command.id, state="done", detail=command.name)


@asynccontextmanager
async def running(address: BrokerAddress, node: str = "n1", run: str = "r1") -> AsyncGenerator[Daemon]:
    daemon = Daemon(address, node, run)
    async with beside(daemon.link.run()):
        await until(lambda: daemon.link.connected, "the daemon connects")
        yield daemon


class Reader:
    """Reads a feed in the background and folds what a console would."""

    def __init__(self, feed: MqttFeed) -> None:
        self.feed = feed
        self.messages: list[Any] = []
        self.at: dict[str, tuple[str, int]] = {}
        self.keyframes = 0

    async def read(self) -> None:
        async for message in self.feed:
            self.messages.append(message)
            if isinstance(message, NodeKeyframe):
                self.at[message.node] = (message.keyframe.run, message.keyframe.seq)
                self.keyframes += 1
            elif isinstance(message, NodeEvents):
                assert self.at[message.node] == (message.run, message.first_seq - 1), "a hole or a repeat"
                self.at[message.node] = (message.run, message.last_seq)

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@asynccontextmanager
async def reading(address: Any, node: str | None = None) -> AsyncGenerator[Reader]:
    async with MqttFeed(address, node) as feed:
        reader = Reader(feed)
        task = asyncio.create_task(reader.read())
        try:
            yield reader
        finally:
            task.cancel()
            problems = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(problems[0], asyncio.CancelledError), problems


def reaches(reader: Reader, daemon: Daemon, node: str = "n1") -> Callable[[], bool]:
    return lambda: reader.at.get(node) == (daemon.run, daemon.seq)


async def test_a_console_gets_state_a_keyframe_and_then_every_event(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, reading(broker) as reader:
        daemon.happen(3)
        await until(reaches(reader, daemon), "the keyframe or its events")
        for _ in range(50):
            daemon.happen(2)
        await until(reaches(reader, daemon), "all events")
        daemon.publish("agents", AgentsTable(run="r1", seq=103), retain=True)
        daemon.publish("metrics", Metrics(t_ns=1, hit_rate=0.5))
        await until(lambda: reader.of(NodeAgents) and reader.of(NodeMetrics), "tables")
        assert reader.keyframes == 1
        assert reader.messages[0] == Connection(True)
        assert reader.feed.statuses["n1"].state == "ready"
        assert reader.feed.policies["n1"].dispatches == 1
        assert reader.feed.agents["n1"].seq == 103
        assert reader.feed.silent_s("n1") < PATIENCE_S < reader.feed.silent_s("n2")
        assert (reader.feed.bad_payloads, reader.feed.gaps) == (0, 0)


async def test_two_consoles_and_two_daemons_at_once(broker: BrokerAddress) -> None:
    async with (
        running(broker, "n1") as one,
        running(broker, "n2") as two,
        reading(broker) as everything,
        reading(broker, "n2") as second,
    ):
        one.happen(5)
        two.happen(7)
        await until(reaches(everything, one, "n1"), "n1 seen by the one")
        await until(reaches(everything, two, "n2"), "n2 seen by the one")
        await until(reaches(second, two, "n2"), "n2 seen by the other")
        replies = await asyncio.gather(
            everything.feed.command("n1", "warm", {"agent": "a"}, by="ann"),
            second.feed.command("n2", "pin", {"agent": "b"}, by="bob"),
        )
        assert [reply.detail for reply in replies] == ["warm", "pin"]
        assert [(c.by, c.arguments) for c in one.commands + two.commands] == [
            ("ann", {"agent": "a"}),
            ("bob", {"agent": "b"}),
        ]
        assert set(second.at) == {"n2"}


async def test_a_gap_is_bridged_by_a_keyframe(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, reading(broker) as reader:
        await until(reaches(reader, daemon), "the first keyframe")
        daemon.seq += 10
        daemon.happen(1)
        await until(reaches(reader, daemon), "in step again")
        assert (reader.keyframes, reader.feed.gaps) == (2, 1)


async def test_a_cut_network_heals_and_nothing_is_shown_twice(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, Relay(broker) as relay, reading(relay.address) as reader:
        daemon.happen(3)
        await until(reaches(reader, daemon), "in step")
        relay.cut()
        await until(lambda: not reader.feed.connected, "the feed notices")
        await until(lambda: reader.of(Connection)[-1].up is False, "the reader is told")
        daemon.happen(4)
        order = asyncio.create_task(reader.feed.command("n1", "warm", {"agent": "a"}))
        await relay.mend()
        assert (await order).state == "done", "a command given meanwhile is sent when the network is back"
        await until(reaches(reader, daemon), "in step again, though nothing new has happened since")
        assert [c.name for c in daemon.commands] == ["warm"]
        assert reader.of(Connection)[-1].up


async def test_a_daemon_that_starts_again_begins_a_new_run(broker: BrokerAddress) -> None:
    async with reading(broker) as reader:
        async with running(broker, run="r1") as daemon:
            daemon.happen(9)
            await until(reaches(reader, daemon), "the first run")
        await until(lambda: not reader.feed.statuses["n1"].online, "the goodbye")
        async with running(broker, run="r2") as daemon:
            await until(reaches(reader, daemon), "the second run's keyframe, before anything happens in it")
            daemon.happen(2)
            await until(reaches(reader, daemon), "the second run")
        assert reader.keyframes == 2


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_a_killed_broker_comes_back_and_everybody_with_it(tmp_path: Path) -> None:
    async with open_broker("mosquitto", state_dir=tmp_path) as address:  # noqa: SIM117 - reads better
        async with running(address) as daemon, reading(address) as reader:
            daemon.happen(3)
            await until(reaches(reader, daemon), "in step")
            child = mosquitto_child()
            child.kill()
            await until(lambda: not daemon.link.connected and not reader.feed.connected, "both notice")
            daemon.happen(4)
            assert (await reader.feed.command("n1", "flush")).state == "done"
            await until(reaches(reader, daemon), "in step again")
            async with open_raw(address, f"{ROOT}/n1/policies") as late:
                assert (await late.next()).retain, "the new broker knows the retained state again"


async def test_a_new_address_is_asked_for_at_each_try(broker: BrokerAddress) -> None:
    """A restarted daemon has another port; the feed finds it as its first try did."""
    known = [BrokerAddress(host="127.0.0.1", port=1)]
    async with running(broker) as daemon, reading(lambda: known[-1]) as reader:
        await until(lambda: reader.of(Connection), "the first failure")
        assert "refused" in reader.of(Connection)[0].why
        known.append(broker)
        await until(reaches(reader, daemon), "in step at the new address")


GARBAGE = [b"\x00\xff binary", b"{", b"null", b"[]", b'"text"', b"[" * 60_000, b"x" * (3 << 20)]
WRONG_SHAPE = {
    "status": b'{"node":"n1","online":"yes"}',
    "agents": b'{"run":7,"seq":1}',
    "policies": b'{"policies":{}}',
    "metrics": b'{"t_ns":"now"}',
    "residency": b'{"run":"zz","seq":999999,"t_ns":0,"state":{"nodes":[1,2]}}',
    "events": b'{"run":"x","first_seq":"a","events":[]}',
    "reply": b'{"id":"x","state":"maybe"}',
}


async def test_garbage_on_every_topic_is_counted_and_changes_nothing(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, reading(broker) as reader, open_raw(broker) as raw:
        await until(reaches(reader, daemon), "in step")
        await reader.feed.command("n1", "warm")
        for leaf, wrong in WRONG_SHAPE.items():
            where = f"reply/{daemon.commands[0].client}" if leaf == "reply" else leaf
            for payload in [*GARBAGE, wrong, b""]:
                await raw.publish(f"{ROOT}/n1/{where}", payload, qos=0)
        await raw.publish(f"{ROOT}/bad name!/status", b"{}")
        await until(lambda: "bad name!" in reader.feed.bad_reason, "the last of the garbage")
        daemon.happen(2)
        await until(reaches(reader, daemon), "in step afterwards")
        assert (await reader.feed.command("n1", "warm")).state == "done"
        assert reader.feed.bad_payloads == (len(GARBAGE) + 1) * len(WRONG_SHAPE) + 1
        assert set(reader.feed.statuses) == {"n1"}


async def test_a_node_whose_status_is_cleared_is_told_of_behind_its_end(broker: BrokerAddress) -> None:
    gone = msgspec.json.encode(Status(node="mcp-1", online=False, state="offline"))
    async with reading(broker) as reader, open_raw(broker) as raw:
        await until(lambda: reader.feed.connected, "the feed connects")
        await raw.publish(f"{ROOT}/mcp-2/status", b"")
        await raw.publish(f"{ROOT}/mcp-1/status", gone)
        await raw.publish(f"{ROOT}/mcp-1/status", b"")
        await until(lambda: bool(reader.of(NodeCleared)), "it is told of")
        assert [type(message) for message in reader.messages[-2:]] == [NodeStatus, NodeCleared]
        assert [message.node for message in reader.of(NodeCleared)] == ["mcp-1"]


async def test_well_formed_lies_about_the_numbering_are_put_right(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, reading(broker) as reader, open_raw(broker) as raw:
        await until(reaches(reader, daemon), "in step")
        lie = EventBatch(run="liar", first_seq=5, events=[msgspec.Raw(b'{"k":"cache_flushed","t_ns":1}')])
        await raw.publish(f"{ROOT}/n1/events", msgspec.json.encode(lie))
        await until(lambda: reader.keyframes == 2, "a keyframe of the true run")
        daemon.happen(2)
        await until(reaches(reader, daemon), "in step")


async def test_a_reader_that_stops_gets_a_keyframe_not_a_flood(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, MqttFeed(broker, "n1") as feed:
        await until(lambda: "n1" in feed.statuses, "connected")
        daemon.happen(1)
        for _ in range(3):
            daemon.happen(feed_mqtt.MAX_WAITING_EVENTS // 2)
        daemon.publish("metrics", Metrics(t_ns=42))
        await until(lambda: "n1" in feed.metrics, "all of it has arrived")
        reader = Reader(feed)
        task = asyncio.create_task(reader.read())
        await until(reaches(reader, daemon), "in step")
        assert sum(len(m.events) for m in reader.of(NodeEvents)) <= feed_mqtt.MAX_WAITING_EVENTS
        task.cancel()


async def test_no_answer_is_a_refusal_that_says_so(broker: BrokerAddress) -> None:
    async with MqttFeed(broker) as feed:
        await until(lambda: feed.connected, "connected")
        reply = await feed.command("nobody", "warm", timeout_s=0.05)
        assert (reply.state, reply.detail) == ("refused", "no answer within 0.05 s")
        with pytest.raises(ValueError, match="node name"):
            await feed.command("no/body", "warm")
    async with MqttFeed(BrokerAddress(host="127.0.0.1", port=1)) as feed:
        reply = await feed.command("n1", "warm", timeout_s=0.3)
        assert reply.state == "refused"
        assert "no broker" in reply.detail
