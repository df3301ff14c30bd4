"""The whole console against a real broker: it joins, follows, orders, loses the network and comes back by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from background import beside
from brokers import Relay
from scenario import NODE, RUN, folded, run_events
from staging import drawn, policies, screen_text, status, toasts, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import live_feed
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import BrokerAddress, Command, EventBatch, Keyframe, Reply
from radixdeck.policies.events import AnyEvent, encode

EVENTS = run_events()


class Daemon:
    """As much of a daemon as MQTT sees, playing the scenario."""

    def __init__(self, address: BrokerAddress, node: str = NODE) -> None:
        self.seq = 300
        self.commands: list[Command] = []
        self.link = MqttLink(address, node, self._on_command)
        self.link.publish("status", msgspec.json.encode(status(node=node).status), retain=True)
        self.link.publish("policies", msgspec.json.encode(policies()), retain=True)

    def happen(self, events: list[AnyEvent]) -> None:
        raws = [msgspec.Raw(encode(event)) for event in events]
        self.link.publish("events", msgspec.json.encode(EventBatch(run=RUN, first_seq=self.seq + 1, events=raws)))
        self.seq += len(events)

    async def _on_command(self, command: Command) -> Reply:
        if command.name == "watch":
            state = folded(EVENTS[: self.seq])
            frame = Keyframe(run=RUN, seq=self.seq, t_ns=state.t_ns, state=state)
            self.link.publish("residency", msgspec.json.encode(frame))
        else:
            self.commands.append(command)
        return Reply(id=command.id, state="done", detail="as ordered", tokens=412)


@asynccontextmanager
async def running(address: BrokerAddress, node: str = NODE) -> AsyncGenerator[Daemon]:
    daemon = Daemon(address, node)
    async with beside(daemon.link.run()):
        yield daemon


async def test_join_follow_order_lose_and_come_back(broker: BrokerAddress) -> None:
    async with running(broker) as daemon, Relay(broker) as relay:
        app = ConsoleApp(live_feed(relay.address))
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == 300)
            daemon.happen(EVENTS[300:400])
            await until(pilot, lambda: app.fleet.nodes[NODE].seq == 400)
            assert app.fleet.nodes[NODE].run == folded(EVENTS[:400])

            await pilot.press("3")
            await until(pilot, lambda: "6 of 6 agents" in screen_text(app))
            await pilot.press("w")
            await until(pilot, lambda: "done, 412 tok" in toasts(app))
            assert [command.name for command in daemon.commands] == ["warm"]

            relay.cut()
            await until(pilot, lambda: "○ lost" in screen_text(app))
            await pilot.press("2")
            assert "KV pool, 4,000 tok" in await drawn(pilot)
            daemon.happen(EVENTS[400:])

            await relay.mend()
            await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS))
            await until(pilot, lambda: "● box-1 up" in screen_text(app))
            assert app.fleet.nodes[NODE].run == folded(EVENTS)
