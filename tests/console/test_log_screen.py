"""The event log on screen: filter, find, pause, follow, and routine events on demand."""

from __future__ import annotations

from scenario import folded, run_events
from staging import LARGE, ScriptedFeed, batch, console, drawn, keyframe, live_messages, status
from textual.pilot import Pilot

from radixdeck.console.screens.events import EventsScreen
from radixdeck.console.widgets.log_view import LogView
from radixdeck.policies import events as e

EVENTS = run_events()


async def test_the_log_filters_finds_pauses_and_goes_on() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(LARGE, feed) as pilot:
        await pilot.press("5", "slash", *"node_evicted", "enter")
        text = await drawn(pilot)
        assert "52 of the last" in text
        view = pilot.app.screen.query_one(LogView)
        assert view.selected is not None
        assert view.selected.kind == "node_evicted"
        await pilot.press("f")
        await drawn(pilot)
        await pilot.press("n")
        first = view.selected
        await pilot.press("n")
        assert view.selected not in (None, first)
        await pilot.press("N")
        assert view.selected == first
        await pilot.press("escape", "space")
        feed.tell(batch([e.SessionEnded(t_ns=EVENTS[-1].t_ns, session="the-end")], len(EVENTS) + 1))
        text = await drawn(pilot)
        assert "PAUSED" in text
        assert "the-end" not in text
        await pilot.press("space")
        assert "the-end" in await drawn(pilot)


async def test_another_daemons_log_is_not_paused_where_this_ones_was() -> None:
    other = e.SessionEnded(t_ns=EVENTS[-1].t_ns, session="of-the-other")
    more = [status(node="box-2"), keyframe(folded([]), 0, node="box-2"), batch([other], 1, node="box-2")]
    async with console(LARGE, ScriptedFeed([*live_messages(EVENTS), *more])) as pilot:
        await pilot.press("5")
        await drawn(pilot)
        await pilot.press("space")
        assert "PAUSED" in await drawn(pilot)
        await pilot.press("right_parenthesis")
        text = await drawn(pilot)
        assert ("box-2 up" in text, "of-the-other" in text, "PAUSED" in text) == (True, True, False)
        assert len(_lines(pilot)) == 1
        await pilot.press("space", "left_parenthesis")
        text = await drawn(pilot)
        assert ("box-1 up" in text, "of-the-other" in text, "PAUSED" in text) == (True, False, False)
        assert pilot.app.screen.query_one(LogView).following


async def test_moving_up_in_the_log_stays_there_while_events_come() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(feed=feed) as pilot:
        await pilot.press("5")
        await drawn(pilot)
        await pilot.press("up", "up", "k")
        view = pilot.app.screen.query_one(LogView)
        before = view.selected
        feed.tell(batch([e.SessionEnded(t_ns=EVENTS[-1].t_ns, session="late")], len(EVENTS) + 1))
        await drawn(pilot)
        assert view.selected == before
        await pilot.press("end")
        assert view.following


async def test_routine_events_come_on_demand() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("5")
        assert "node_added" not in str([line.kind for line in _lines(pilot)])
        await pilot.press("v")
        await drawn(pilot)
        assert "node_added" in [line.kind for line in _lines(pilot)]


def _lines(pilot: Pilot[None]) -> list[object]:
    assert isinstance(pilot.app.screen, EventsScreen)
    return list(pilot.app.screen.query_one(LogView)._lines)
