"""Jumping through a recording: to evictions that hurt, orders, policies, faults, bookmarks; what cannot be said so."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenario import NODE, RUN, T0_NS, folded, run_events
from several_files import recorded_on
from staging import drawn, recorded, toasts, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.bookmarks import Bookmarks
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.jumps import MARKS, marks, next_of
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.files import RunInfo
from radixdeck.storage.session import open_session


def hurts_after_each(events: list[e.AnyEvent]) -> Iterator[int]:
    """How many evictions hurt by then."""
    state = RunState()
    for event in events:
        fold(state, event)
        yield state.totals.evictions_that_hurt


EVENTS = run_events()
HURTS = [0, *hurts_after_each(EVENTS)]
SWITCHED = next(seq for seq, event in enumerate(EVENTS, 1) if isinstance(event, e.PolicySwitched))
RISES = [seq for seq in range(1, len(EVENTS) + 1) if HURTS[seq] > HURTS[seq - 1]]


@pytest.mark.parametrize("near", [1_000, 10])
async def test_every_eviction_that_hurt_is_found_both_ways(
    tmp_path: Path, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.console.jumps.NEAR", near)
    with await recorded(tmp_path / "run.db", EVENTS) as session:
        for place in (0, 1, len(RISES) // 2, len(RISES) - 2):
            here, following = RISES[place], RISES[place + 1]
            assert next_of(session, "eviction that hurt", here) == following
            assert next_of(session, "eviction that hurt", following, backwards=True) == here
        assert next_of(session, "eviction that hurt", RISES[-1]) is None
        assert next_of(session, "eviction that hurt", RISES[0], backwards=True) is None


async def test_evictions_that_hurt_are_found_past_damaged_keyframes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.console.jumps.NEAR", 10)
    path = tmp_path / "run.db"
    (await recorded(path, EVENTS, keyframe_every=20)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE keyframes SET state = x'00' WHERE seq % 60 = 0")
    connection.close()
    with open_session(path) as session:
        assert session.totals_at(60) is None
        assert session.totals_at(40) == folded(EVENTS[:40]).totals
        assert session.totals_at(41) is None
        for here, following in itertools.pairwise(RISES):
            assert next_of(session, "eviction that hurt", here) == following
            assert next_of(session, "eviction that hurt", following, backwards=True) == here


async def test_evictions_that_hurt_in_an_earlier_file_are_not_found_in_a_later_one(tmp_path: Path) -> None:
    about = RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config={})
    _, files = await recorded_on(tmp_path, EVENTS, about, limit=200_000, every=50)
    with open_session(files[2]) as session:
        first, second = [seq for seq in RISES if session.first_seq <= seq <= session.last_seq][:2]
        assert HURTS[session.first_seq - 1] > 0
        assert next_of(session, "eviction that hurt", session.first_seq, backwards=True) is None
        assert next_of(session, "eviction that hurt", first, backwards=True) is None
        assert next_of(session, "eviction that hurt", second, backwards=True) == first


async def test_the_state_after_one_of_several_events_of_a_moment(tmp_path: Path) -> None:
    with await recorded(tmp_path / "run.db", EVENTS) as session:
        for seq in range(1, len(EVENTS), 37):
            assert session.state_after(seq).totals == folded(EVENTS[:seq]).totals


async def test_other_sorts_are_found_by_their_kind(tmp_path: Path) -> None:
    with await recorded(tmp_path / "run.db", EVENTS) as session:
        switched = next_of(session, "policy change", 0)
        assert switched is not None
        assert isinstance(EVENTS[switched - 1], e.PolicySwitched)
        refused = next_of(session, "fault", 0)
        assert refused is not None
        assert isinstance(EVENTS[refused - 1], e.RequestRefused)
        assert next_of(session, "operator action", 0) is None
        assert {sign for _, sign in marks(session)} == {"~", "!"}


async def test_the_keys(tmp_path: Path) -> None:
    session = await recorded(tmp_path / "run.db", EVENTS)
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("6", "full_stop")
        await until(pilot, lambda: feed.position_ns == session.arrived_ns(RISES[0]))
        await until(pilot, lambda: app.fleet.nodes[NODE].run.totals.evictions_that_hurt == HURTS[RISES[0]])
        await pilot.press("B")
        text = await drawn(pilot)
        assert "jump to: eviction that hurt" in text
        assert "(1 set)" in text
        assert "b" in next(line for line in text.splitlines() if "~" in line and "policy" not in line)
        await pilot.press("J", "full_stop" if RISES[0] < SWITCHED else "comma")
        await until(pilot, lambda: feed.position_ns == session.arrived_ns(SWITCHED))
        await pilot.press("J", "full_stop")
        await until(pilot, lambda: bool(feed.notice))
        await drawn(pilot)
        assert "no operator action after this" in toasts(app)
        await pilot.press("J", "J", "comma" if RISES[0] < SWITCHED else "full_stop")
        await until(pilot, lambda: feed.position_ns == session.arrived_ns(RISES[0]))
    assert ReplayFeed(session).bookmarks.times == [session.arrived_ns(RISES[0])]
    session.close()


async def test_it_goes_back_past_several_of_a_moment(tmp_path: Path) -> None:
    """A switch is two events of one time: one policy is on, the other is off."""
    both = [("kv_caching", True), ("lru", False)], [("lru", True), ("kv_caching", False)]
    switches = [
        e.PolicySwitched(t_ns=EVENTS[-1].t_ns + after * 10**9, policy=policy, enabled=enabled)
        for after, pair in enumerate(both, 1)
        for policy, enabled in pair
    ]
    last = e.PolicyFailed(t_ns=switches[-1].t_ns + 10**9, policy="x", call="y", error="z")
    with await recorded(tmp_path / "run.db", [*EVENTS, *switches, last]) as session:
        feed = ReplayFeed(session, playing=False)
        app = ConsoleApp(feed, animate=False)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
            await pilot.press("6", "G", "J")
            await until(pilot, lambda: feed.position_ns == session.last_ns)
            for switch in (switches[2], switches[0]):
                await pilot.press("comma")
                await until(pilot, lambda at=switch: feed.position_ns == at.t_ns)


async def test_what_happens_often_hides_nothing_rare_on_the_strip(tmp_path: Path) -> None:
    at_ns = EVENTS[-1].t_ns
    refused = [e.RequestRefused(t_ns=at_ns + n, rid=f"x{n}", agent="a", status=403, reason="no") for n in range(MARKS)]
    lost = e.EngineLost(t_ns=at_ns + 10**9, reason="gone", retry_in_s=1.0)
    with await recorded(tmp_path / "run.db", [*EVENTS, *refused, lost]) as session:
        assert (lost.t_ns, "!") in marks(session)


async def test_that_somebody_looked_on_is_no_action_on_the_strip(tmp_path: Path) -> None:
    """Recordings of earlier versions hold that too."""
    told: list[e.AnyEvent] = [
        e.CommandReceived(t_ns=T0_NS + number, id=name, name=name, by="ann", ok=True)
        for number, name in enumerate(("watch", "flush"))
    ]
    with await recorded(tmp_path / "run.db", told) as session:
        assert marks(session) == [(T0_NS + 1, "*")]


def test_bookmarks_are_kept_and_taken_away(tmp_path: Path) -> None:
    marks = Bookmarks(tmp_path / "run.db")
    assert marks.toggle(100, 5)
    assert marks.toggle(50, 5)
    assert Bookmarks(tmp_path / "run.db").times == [50, 100]
    assert not marks.toggle(103, 5)
    assert marks.times == [50]
    assert (marks.next(10), marks.next(50), marks.next(60, backwards=True)) == (50, None, 50)


def test_bookmarks_that_cannot_be_read_or_kept_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "run.db.marks.json").write_text('{"no": "list"}')
    marks = Bookmarks(tmp_path / "run.db")
    assert "cannot be read" in marks.trouble
    gone = Bookmarks(tmp_path / "nowhere" / "run.db")
    gone.toggle(1, 0)
    assert "bookmarks are not kept" in gone.trouble
