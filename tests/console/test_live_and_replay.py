"""A replay that stands at a moment shows what the live console showed at that moment: the same state, the same text."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import pytest
from scenario import NODE, folded, run_events
from staging import ScriptedFeed, batch, drawn, keyframe, recorded, status, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import Connection, NodePolicies
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.policies_table import policies_table
from radixdeck.daemon.wire import PoliciesTable
from radixdeck.policies.events import AnyEvent, EngineEvent
from radixdeck.policies.host import PolicyHost

EVENTS = run_events()
MODES = "234"


def published(events: list[AnyEvent], t_ns: int) -> PoliciesTable:
    """What a daemon says whose host observed the same engine stream, as it would say it at that moment."""
    host = PolicyHost(["lru"], timer=lambda: 0.0)
    for event in events:
        if isinstance(event, get_args(EngineEvent)):
            host.observe(cast(EngineEvent, event))
    return policies_table(host, folded(events), t_ns / 1e9)


@pytest.mark.parametrize("seq", [120, 300, len(EVENTS)])
async def test_live_and_replay_show_the_same(tmp_path: Path, seq: int) -> None:
    """The live console at the moment of event `seq`, joined in mid-run, and a replay that stands there."""
    t_ns = EVENTS[seq - 1].t_ns
    session = await recorded(tmp_path / "run.db", EVENTS)
    events = [event for event in EVENTS if event.t_ns <= t_ns]
    joined = len(events) // 2
    live = ScriptedFeed([Connection(True), status(), keyframe(folded(events[:joined]), joined)])
    live.tell(batch(events[joined:], joined + 1), NodePolicies(NODE, published(events, t_ns)))
    live_app = ConsoleApp(live, animate=False, clock=lambda: 5.0)
    async with live_app.run_test(size=(160, 48)) as pilot:
        await pilot.press(MODES[0])
        await until(pilot, lambda: NODE in live_app.fleet.nodes and live_app.fleet.nodes[NODE].seq == len(events))
        await until(pilot, lambda: live_app.fleet.nodes[NODE].table is not None)
        shown_live: dict[str, str] = {}
        for mode in MODES:
            await pilot.press(mode)
            shown_live[mode] = await _body(pilot)
        run_live = live_app.fleet.nodes[NODE].run
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 48)) as pilot:
        shown_replayed: dict[str, str] = {}
        for mode in MODES:
            await pilot.press(mode)
            feed.seek(session.first_ns)
            await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq < len(events))
            feed.seek(t_ns)
            await until(pilot, lambda: app.fleet.nodes[NODE].seq == len(events))
            await until(pilot, lambda: feed.policies(app.fleet.nodes[NODE].run) is not None)
            shown_replayed[mode] = await _body(pilot)
        assert app.fleet.nodes[NODE].run == run_live
    assert shown_replayed == shown_live
    assert "next to go, by score" in shown_replayed["2"]
    session.close()


async def _body(pilot: Pilot[None]) -> str:
    """What is drawn with the cursor on the first row, without the bars that say whether it is live, and the footer."""
    await drawn(pilot)
    for table in pilot.app.screen.query(SyncTable):
        table.move_cursor(row=0)
    return "\n".join((await drawn(pilot)).splitlines()[3:-1])
