"""Garbage on the bus, an old recording, a truncated one, a daemon of another version, a clock that jumps: with the
whole console each is said in words, and every screen still draws."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from scenario import NODE, folded, run_events
from staging import SMALL, ScriptedFeed, batch, drawn, keyframe, live_messages, policies, recorded, status, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed, live_feed
from radixdeck.console.feed_messages import Connection, NodeEvents, NodePolicies, NodeStatus
from radixdeck.console.oddities import HERE
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import BrokerAddress
from radixdeck.policies import events as e
from radixdeck.storage.errors import SessionError
from radixdeck.storage.session import open_session

EVENTS = run_events()
SCREENS = "1234567890"


def listen(app: ConsoleApp) -> list[str]:
    """What the app says from now on, also what has left the screen again."""
    heard: list[str] = []
    app.notify = lambda message, **_: heard.append(message)  # type: ignore[assignment]
    return heard


async def all_screens(pilot: Pilot[None]) -> None:
    for key in SCREENS:
        await pilot.press(key)
        assert (await drawn(pilot)).strip()


async def test_garbage_on_the_bus(broker: BrokerAddress) -> None:
    link = MqttLink(broker, NODE, None)  # type: ignore[arg-type]
    link.publish("status", msgspec.json.encode(status().status), retain=True)
    app = ConsoleApp(live_feed(broker))
    heard = listen(app)
    async with app.run_test(size=SMALL) as pilot, Running(link):
        await until(pilot, lambda: NODE in app.fleet.nodes)
        for leaf in ("status", "agents", "policies", "metrics", "residency", "events"):
            for payload in (b"\x00\xff binary", b"{", b"[]", b'{"run":7}'):
                link.publish(leaf, payload)
        await until(pilot, lambda: "could not be read and were left out" in " ".join(heard))
        await all_screens(pilot)


class Running:
    """A link that runs while the block does."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._link.run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_daemon_of_another_version() -> None:
    newer = status().status
    newer = msgspec.structs.replace(newer, version="9.9.9")
    unknown = NodeEvents(
        NODE, keyframe(folded(EVENTS), 0).keyframe.run, len(EVENTS) + 1, len(EVENTS) + 7, [], unknown=7
    )
    feed = ScriptedFeed([Connection(True), NodeStatus(NODE, newer), keyframe(folded(EVENTS), len(EVENTS)), unknown,
                         NodePolicies(NODE, policies())])  # fmt: skip
    app = ConsoleApp(feed, animate=False)
    heard = listen(app)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].unknown_events == 7)
        await all_screens(pilot)
        assert f"{NODE} runs radixdeck 9.9.9, this console is {HERE}" in " ".join(heard)
        assert "7 events are of a kind that this version does not know" in " ".join(heard)
        assert "".join(heard).count("9.9.9") == 1


async def test_a_daemon_of_this_version_is_nothing_to_talk_of() -> None:
    same = msgspec.structs.replace(status().status, version=HERE)
    feed = ScriptedFeed([Connection(True), NodeStatus(NODE, same), *live_messages(EVENTS)[2:]])
    app = ConsoleApp(feed, animate=False)
    heard = listen(app)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        await all_screens(pilot)
        assert heard == []


@pytest.mark.parametrize(("jump_s", "words"), [(86_400 * 400, "jumped ahead by"), (-7_200, "jumped back by 2 h")])
async def test_a_clock_that_jumps(jump_s: int, words: str) -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    app = ConsoleApp(feed, animate=False)
    heard = listen(app)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        t_ns = EVENTS[-1].t_ns + jump_s * 1_000_000_000
        late = [
            e.RequestArrived(t_ns=t_ns, rid="late", agent="planner", session="s0"),
            e.PrefixMatched(t_ns=t_ns, rid="late", agent="planner", session="s0", prompt_tokens=9, cached_tokens=3),
        ]
        feed.tell(batch(late, len(EVENTS) + 1))
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS) + 2)
        await all_screens(pilot)
        assert words in " ".join(heard)


async def test_events_that_come_late_are_no_jump_of_the_clock() -> None:
    feed = ScriptedFeed(live_messages(EVENTS, joined_at=300))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        assert app.fleet.nodes[NODE].clock_jumps == 0


async def test_an_old_recording(tmp_path: Path) -> None:
    """Keyframes of a state with less in it, events with fewer fields, and a kind that has gone since."""
    path = tmp_path / "old.db"
    (await recorded(path, EVENTS)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE keyframes SET state = x'00'")
        connection.execute("""UPDATE events SET body = json_remove(body, '$.base_rid', '$.base_tokens', '$.part',
                                                                   '$.declared', '$.score', '$.idle_s')""")
        connection.execute("""UPDATE events SET body = '{"k":"dream_dreamt","t_ns":1}' WHERE seq = 7""")
        connection.execute("UPDATE runs SET version = '0.0.1'")
    connection.close()
    with open_session(path) as session:
        app = ConsoleApp(ReplayFeed(session, playing=False), read_only=True, animate=False)
        heard = listen(app)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
            await pilot.press("G")
            await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS))
            await all_screens(pilot)
            assert "does not know (written by radixdeck 0.0.1)" in " ".join(heard)
            assert app.fleet.nodes[NODE].run.totals.requests > 0


@pytest.mark.parametrize("argument", ["amount", "node", "value", "enabled"])
async def test_an_order_with_a_number_beyond_all_bounds(argument: str) -> None:
    """No daemon carries it out, but it may be in what was recorded."""
    feed = ScriptedFeed(live_messages(EVENTS))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq == len(EVENTS))
        told = {"agent": "coder", argument: 10**400}
        refused = e.CommandReceived(
            t_ns=EVENTS[-1].t_ns, id="x", name="boost", by="ann", ok=False, detail="too much", arguments=told
        )
        feed.tell(batch([refused], len(EVENTS) + 1))
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(EVENTS) + 1)
        await all_screens(pilot)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
async def test_a_truncated_recording(tmp_path: Path, share: float) -> None:
    """Refused in words, or opened and, where the rest is missing, said so on the screen."""
    whole, path = tmp_path / "whole.db", tmp_path / "cut.db"
    (await recorded(whole, EVENTS)).close()
    shutil.copy(whole, path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    feed = _opened(path)
    if isinstance(feed, str):
        assert str(path) in feed
        return
    app = ConsoleApp(feed, read_only=True, animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("G")
        await until(pilot, lambda: bool(app.fleet.why_lost) or app.fleet.nodes[NODE].seq >= 0)
        await all_screens(pilot)
        if app.fleet.why_lost:
            assert "damaged or cut short" in await drawn(pilot)


def _opened(path: Path) -> ReplayFeed | str:
    """The recording as a feed, or why not, as the command line would say it."""
    try:
        return ReplayFeed(open_session(path), playing=False)
    except SessionError as error:
        return str(error)
