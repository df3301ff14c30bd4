"""What has just gone and what has just come: by the clock of events, moving nothing, the same in a replay."""

from __future__ import annotations

from pathlib import Path

from scenario import T0_NS, folded, run_events
from staging import SMALL, ScriptedFeed, batch, console, drawn, keyframe, live_messages, recorded, status, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.cache_map import Span, lay_out
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import Connection
from radixdeck.console.flashes import EVICTED, FLASH_NS, FROM_HOST, MOST, TO_HOST, WARMED, Flashes
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.widgets.map_marks import gone_marks
from radixdeck.console.widgets.map_view import MapView
from radixdeck.policies import events as e
from radixdeck.policies.residency import NodeView, RunState, fold

EVENTS = run_events()
SECOND = 1_000_000_000


def added(node: int, tokens: int, t_ns: int = 0, **more: object) -> e.NodeAdded:
    return e.NodeAdded(t_ns=t_ns, node=node, parent=0, start=0, tokens=tokens, agent="a", role="private", **more)  # type: ignore[arg-type]


def evicted(node: int, tokens: int, t_ns: int, **more: object) -> e.NodeEvicted:
    return e.NodeEvicted(t_ns=t_ns, node=node, tokens=tokens, start=0, agents=("a",), role="private", **more)  # type: ignore[arg-type]


def flashed(events: list[e.AnyEvent], run: RunState | None = None) -> tuple[Flashes, RunState]:
    run, flashes = run or RunState(capacity_tokens=100), Flashes()
    for event in events:
        fold(run, event)
        flashes.add(event, run)
    return flashes, run


def load(t_ns: int) -> e.EngineLoadSampled:
    return e.EngineLoadSampled(
        t_ns=t_ns, running=0, waiting=0, used_tokens=9, evictable_tokens=9, capacity_tokens=4_000
    )


def warm(rid: str, t_ns: int) -> e.PrefixMatched:
    return e.PrefixMatched(
        t_ns=t_ns, rid=rid, agent="a", session="", prompt_tokens=40, cached_tokens=0, node=-1, warm=True
    )


def test_what_went_is_shown_for_a_moment() -> None:
    flashes, _ = flashed([added(1, 10), added(2, 10), evicted(1, 10, SECOND), evicted(2, 10, SECOND + 5, to_host=True)])
    assert {node: gone.glyph for node, gone in flashes.gone.items()} == {1: EVICTED, 2: TO_HOST}
    assert list(flashes.forget(SECOND + FLASH_NS).gone) == [2]
    assert not flashes.forget(SECOND + FLASH_NS + 5)


def test_a_person_has_a_second_to_see_it_and_in_a_replay_that_plays_faster_less_than_that() -> None:
    """A frame may be half a second late, where the map is shaded. For longer than twice the time of the run a map that
    changes as fast would be crossed out."""
    for speed, times in ((0.25, 1.0), (1.0, 1.0), (2.0, 2.0), (8.0, 2.0), (64.0, 2.0)):
        flashes, _ = flashed([added(1, 10), evicted(1, 10, SECOND)])
        assert flashes.forget(SECOND + int(1.49 * times * SECOND), speed)
        assert not flashes.forget(SECOND + int(1.5 * times * SECOND), speed)


def test_in_a_replay_that_plays_faster_the_last_that_went_are_marked_on_a_fifth_of_the_map() -> None:
    flashes, run = flashed([*(added(node, 2) for node in range(1, 51)),
                            *(evicted(node, 2, SECOND + node) for node in range(1, 41))])  # fmt: skip
    map_ = lay_out(run, 100, [gone.view for gone in flashes.gone.values()])
    for speed, nodes in ((1.0, range(1, 41)), (8.0, range(31, 41))):
        marks = gone_marks(flashes.forget(SECOND + 40, speed), map_, run.nodes)
        assert [mark.first for mark in marks] == [span.first for span in map_.gone if span.node in nodes]
    flashes, run = flashed([added(1, 60), evicted(1, 60, SECOND)])
    map_ = lay_out(run, 100, [gone.view for gone in flashes.gone.values()])
    assert [mark[:2] for mark in gone_marks(flashes.forget(SECOND, 8.0), map_, run.nodes)] == [(0, 60)], "one at least"


async def test_what_a_fast_replay_shows_stays_while_it_is_paused(tmp_path: Path) -> None:
    start = e.EngineStarted(t_ns=T0_NS, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru")
    events = [start, added(1, 50, T0_NS), added(2, 50, T0_NS), evicted(1, 50, T0_NS + SECOND), load(T0_NS + 3 * SECOND)]
    feed = ReplayFeed(await recorded(tmp_path / "run.db", events), speed=8.0, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("2", "G")
        await until(pilot, lambda: bool(app.fleet.nodes) and next(iter(app.fleet.nodes.values())).seq == len(events))
        for _ in range(2):
            assert EVICTED in map_of(await drawn(pilot))


def test_a_clock_that_steps_back_leaves_nothing_lit() -> None:
    """The run's own time is the latest that was told, so the console's stands still until the clock is there again."""
    now_s = 100.0
    fleet = FleetState(clock=lambda: now_s)
    fleet.apply(Connection(True))
    fleet.apply(keyframe(RunState(capacity_tokens=4_000), 0))
    fleet.apply(batch([added(1, 8, T0_NS), evicted(1, 8, T0_NS)], 1))
    (entry,) = fleet.nodes.values()
    assert list(shown(fleet)) == [1]
    for step in range(101):
        t_ns, seq = T0_NS + (step - 100) * SECOND // 10, 3 + 2 * step
        fleet.apply(batch([added(2 + step, 8, t_ns), evicted(2 + step, 8, t_ns)], seq))
        assert not [gone for gone in entry.flashes.gone.values() if abs(gone.t_ns - t_ns) > FLASH_NS]
        now_s += 0.1
        assert len(shown(fleet)) <= 15
    assert list(shown(fleet)) == list(range(88, 103))


def test_half_of_a_node_goes_out_with_the_other_half() -> None:
    flashes, _ = flashed([
        warm("w", 0), added(1, 40, 1, rid="w"), added(2, 8, FLASH_NS // 2, rid="w"),
        e.NodeSplit(t_ns=FLASH_NS - 1, node=1, upper=3, upper_tokens=30),
    ])  # fmt: skip
    assert list(flashes.came) == [1, 2, 3]
    assert list(flashes.forget(FLASH_NS + 1).came) == [2]


def test_only_what_a_warm_up_brought_is_marked_and_both_parts_of_it() -> None:
    flashes, _ = flashed([
        warm("w", 1), added(1, 40, 2, rid="w"), e.NodeSplit(t_ns=3, node=1, upper=2, upper_tokens=30),
        added(3, 40, 4, rid="r"), added(4, 8, 5, from_host=True),
    ])  # fmt: skip
    assert {node: came.glyph for node, came in flashes.came.items()} == {1: WARMED, 2: WARMED, 4: FROM_HOST}


def test_what_comes_back_is_not_gone_and_what_goes_did_not_come() -> None:
    flashes, _ = flashed([
        added(1, 8), evicted(1, 8, 5, to_host=True), added(1, 8, 6, from_host=True), warm("w", 7),
        added(2, 8, 8, rid="w"), evicted(2, 8, 9),
    ])  # fmt: skip
    assert (list(flashes.gone), list(flashes.came)) == ([2], [1])


def test_a_flush_leaves_nothing_to_see_and_a_storm_not_too_much() -> None:
    storm = [evicted(node, 1, 5) for node in range(MOST + 100)]
    flashes, _ = flashed(list(storm))
    assert len(flashes.gone) == MOST
    flashes.add(e.CacheFlushed(t_ns=6), RunState())
    assert not flashes


def test_odd_events_are_borne() -> None:
    flashes, run = flashed([evicted(7, -5, -3), evicted(7, 10**30, 1 << 70), evicted(8, 1, 4), added(-1, -3, 9)])
    for cells in (0, 1, 50):
        lay_out(run, cells, [gone.view for gone in flashes.gone.values()])


def test_its_place_is_kept_without_moving_the_rest() -> None:
    _, run = flashed([added(1, 30), added(2, 30), added(3, 30)])
    whole = lay_out(run, 100)
    assert whole.span_of(2) == Span(30, 60, 2)
    fold(run, evicted(2, 30, 5))
    gone = NodeView(node=2, parent=0, start=0, tokens=30, agents=("a",), role="private")
    after = lay_out(run, 100, [gone])
    assert after.gone == [Span(30, 60, 2)]
    assert after.spans == lay_out(run, 100).spans


def test_neighbours_that_go_lie_side_by_side_and_the_smallest_has_a_cell() -> None:
    _, run = flashed([added(1, 50)])
    gone = [
        NodeView(node=node, parent=0, start=0, tokens=tokens, agents=("a",), role="private")
        for node, tokens in ((2, 20), (3, 0), (4, 1), (5, 10**30))
    ]
    assert lay_out(run, 100, gone).gone == [Span(50, 70, 2), Span(70, 71, 4), Span(71, 100, 5)]


def test_a_node_that_is_there_again_is_not_drawn_twice() -> None:
    _, run = flashed([added(1, 50)])
    assert lay_out(run, 100, [run.nodes[1]]).spans == lay_out(run, 100).spans


async def test_the_map_shows_it_and_the_legend_names_it() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with ConsoleApp(feed, animate=False, clock=lambda: 5.0).run_test(size=SMALL) as pilot:
        t_ns, state = EVENTS[-1].t_ns + 2 * SECOND, folded(EVENTS)
        feed.tell(batch([load(t_ns - 1)], len(EVENTS) + 1))
        await pilot.press("2")
        before = map_of(await drawn(pilot))
        victim = max((view for view in state.nodes.values() if view.role == "anchor"), key=lambda view: view.tokens)
        feed.tell(batch([
            e.NodeEvicted(t_ns=t_ns, node=victim.node, tokens=victim.tokens, start=victim.start,
                          agents=victim.agents, role=victim.role),
            e.PrefixMatched(t_ns=t_ns, rid="w", agent="writer", session="", prompt_tokens=200, cached_tokens=0,
                            warm=True),
            e.NodeAdded(t_ns=t_ns, node=900, parent=0, start=0, tokens=200, agent="writer", role="anchor", rid="w"),
        ], len(EVENTS) + 2))  # fmt: skip
        text = await drawn(pilot)
        assert EVICTED not in before
        assert WARMED not in before
        assert map_of(text).count(EVICTED) > 5
        assert map_of(text).count(WARMED) > 5
        assert f"{EVICTED} evicted" in text
        assert f"{WARMED} warmed" in text
        feed.tell(batch([load(t_ns + FLASH_NS)], len(EVENTS) + 5))
        after = map_of(await drawn(pilot))
        assert EVICTED not in after
        assert WARMED not in after


def map_of(text: str) -> str:
    """The cells, without the words below them."""
    return text[text.index("KV pool") : text.index("░ running")]


def shown(fleet: FleetState) -> dict[int, str]:
    (entry,) = fleet.nodes.values()
    flashes = entry.flashes.forget(fleet.now_ns(entry))
    return {node: flash.glyph for node, flash in [*flashes.gone.items(), *flashes.came.items()]}


async def test_a_replay_that_goes_to_a_moment_shows_what_a_live_console_showed_then(tmp_path: Path) -> None:
    places = [place for place, event in enumerate(EVENTS) if isinstance(event, e.NodeEvicted)]
    upto = places[len(places) // 2] + 1
    live = FleetState()
    for message in (Connection(True), status(), keyframe(RunState(), 0), batch(EVENTS[:upto], 1)):
        live.apply(message)
    (entry,) = live.nodes.values()
    moment = EVENTS[upto - 1].t_ns
    seen = {node: gone.glyph for node, gone in entry.flashes.forget(moment).gone.items()}
    assert seen

    feed = ReplayFeed(await recorded(tmp_path / "run.db", EVENTS), playing=False)
    fleet = FleetState(event_clock=lambda: feed.position_ns)
    feed.seek(moment)
    async for message in feed:
        fleet.apply(message)
        if fleet.nodes and next(iter(fleet.nodes.values())).log.last_seq >= upto:
            break
    assert shown(fleet) == seen


async def test_a_seek_in_a_dense_stream_brings_all_that_is_shown(tmp_path: Path) -> None:
    """Two events each 2 ms: what has gone in a moment is more than what the log begins with."""
    events: list[e.AnyEvent] = []
    for place in range(1_000):
        t_ns = T0_NS + place * SECOND // 500
        events += [added(place, 8, t_ns), evicted(place, 8, t_ns)]
    feed = ReplayFeed(await recorded(tmp_path / "run.db", events), playing=False)
    fleet = FleetState(event_clock=lambda: feed.position_ns)
    feed.seek(events[1_600].t_ns)
    async for message in feed:
        fleet.apply(message)
        if fleet.nodes and next(iter(fleet.nodes.values())).log.last_seq > 1_500:
            break
    assert list(shown(fleet)) == list(range(51, 801))


def test_going_back_in_a_replay_forgets_what_comes_later() -> None:
    fleet = FleetState(event_clock=lambda: T0_NS)
    fleet.apply(status())
    fleet.apply(keyframe(RunState(), 0))
    fleet.apply(batch([evicted(1, 5, T0_NS + SECOND)], 1))
    assert shown(fleet) == {1: EVICTED}
    fleet.apply(keyframe(RunState(), 0))
    assert shown(fleet) == {}


async def test_the_cursor_of_a_node_that_goes_stays_where_it_was() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(SMALL, feed) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        view = pilot.app.screen.query_one(MapView)
        for _ in range(5):
            await pilot.press("right")
        here = view.node
        await pilot.press("right")
        behind = view.node
        await pilot.press("left")
        assert view.node == here
        t_ns = EVENTS[-1].t_ns + 1
        feed.tell(batch([e.NodeEvicted(t_ns=t_ns, node=here, tokens=90, start=0)], len(EVENTS) + 1))
        await drawn(pilot)
        assert view.node == behind
