"""Only the rows that changed are drawn anew, and none is forgotten: whatever happens, each row is what it would be if
the whole map were drawn."""

# What was drawn is compared with what would be.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_flashes import added, evicted, warm
from textual.app import App, ComposeResult

from radixdeck.console.cache_map import Span
from radixdeck.console.flashes import EVICTED, FLASH_NS, Flashes
from radixdeck.console.widgets.map_marks import Mark, Marks, differing, rows_of, runs_of
from radixdeck.console.widgets.map_view import MapView
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold

STEP_NS = FLASH_NS // 7


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield MapView(id="map")


def happening(rng: random.Random, run: RunState, t_ns: int, node: int) -> list[e.AnyEvent]:
    """Something that may happen to a cache of two tiers."""
    resident, lying = list(run.nodes), list(run.host)
    what = rng.randrange(7)
    if what == 0 and resident:
        gone = run.nodes[rng.choice(resident)]
        to_host = rng.random() < 0.5
        return [e.NodeEvicted(t_ns=t_ns, node=gone.node, tokens=gone.tokens, start=0, agents=gone.agents,
                              role=gone.role, to_host=to_host)]  # fmt: skip
    if what == 1 and lying:
        return [e.HostNodeLeft(t_ns=t_ns, node=rng.choice(lying), tokens=1)]
    agent = rng.choice("abc")
    if what == 2 and lying:
        back = run.host[rng.choice(lying)]
        return [e.NodeAdded(t_ns=t_ns, node=back.node, parent=0, start=0, tokens=back.tokens, agent=agent,
                            role="private", from_host=True)]  # fmt: skip
    if what == 3 and resident:
        return [e.NodeOwned(t_ns=t_ns, node=rng.choice(resident), agents=(agent,), role="anchor")]
    rid = f"r{node}"
    asked = e.PrefixMatched(
        t_ns=t_ns, rid=rid, agent=agent, session="", prompt_tokens=9, cached_tokens=0, warm=what == 4
    )
    tokens = rng.randrange(1, 60)
    role = rng.choice(("anchor", "private"))
    return [asked, e.NodeAdded(t_ns=t_ns, node=node, parent=0, start=0, tokens=tokens, agent=agent, role=role,
                               rid=rid)]  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_row_is_what_drawing_all_would_give(seed: int) -> None:
    rng, run, flashes = random.Random(seed), RunState(), Flashes()
    fold(run, e.EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=900, page_size=1, policy="lru",
                              host_capacity_tokens=900))  # fmt: skip
    seen = {"marks": 0, "kept": 0}
    async with Shown().run_test(size=(24, 14)) as pilot:
        view = pilot.app.query_one(MapView)
        for step in range(1, 160):
            t_ns = step * STEP_NS
            for event in happening(rng, run, t_ns, step):
                fold(run, event)
                flashes.add(event, run)
            flashes.forget(t_ns)
            before = dict(view._rows)
            if step == 1 or rng.random() < 0.4 or view.is_behind(run, flashes):
                view.show(run, None, flashes)
            else:
                view.flash(flashes)
            seen["kept"] += sum(before.get(y) is row for y, row in view._rows.items())
            seen["marks"] += len(view._gone) + len(view._came)
            if rng.random() < 0.3:
                view.action_beside(rng.choice((-1, 1)))
            for y in range(14):
                assert view._rows.setdefault(y, view.render_line(y)) == view.render_line(y), f"row {y} after {step}"
                assert view.render_line(y).cell_length == 24
            assert view.node in run.nodes or view.node in run.host or not (run.nodes or run.host)
    assert seen["marks"] > 100
    assert seen["kept"] > 300


def take(run: RunState, flashes: Flashes, *events: e.AnyEvent) -> None:
    for event in events:
        fold(run, event)
        flashes.add(event, run)


async def test_what_has_gone_leaves_every_neighbour_in_sight_and_its_sign() -> None:
    """Of 400 cells one has 1 token: the pinned node is one cell, and closes the gap of a larger one."""
    run, flashes = RunState(capacity_tokens=400), Flashes()
    take(run, flashes, added(1, 10, 1), added(2, 6, 2), added(3, 1, 3), added(4, 20, 4), added(5, 1, 5),
         added(6, 30, 6))  # fmt: skip
    run.nodes[3].pinned = True
    async with Shown().run_test(size=(40, 10)) as pilot:
        view = pilot.app.query_one(MapView)

        def row() -> str:
            return view.render_line(0).text.replace(EVICTED, "x")

        view.show(run, None, flashes)
        assert row() == "[aaaaaaaa]aaaaaa*aaaaaaaaaaaaaaaaaaaaaaa"
        take(run, flashes, evicted(2, 6, 8), evicted(5, 1, 9))
        view.flash(flashes)
        assert row() == "[aaaaaaaa]xxxxxx*aaaaaaaaaaaaaaaaaaaaxaa", "where they lay"
        view.show(run, None, flashes)
        assert row() == "[aaaaaaaa]*axxxxaaaaaaaaaaaaaaaaxaaaaaaa"


async def test_where_every_node_has_one_cell_the_sign_stays_in_sight_until_it_is_forgotten() -> None:
    """It is seen in the colours of who has closed the gap; a mark of its own and the cursor are not hidden by it."""
    run, flashes = RunState(capacity_tokens=400), Flashes()
    take(run, flashes, *(added(node, 1, node) for node in range(1, 31)))
    run.nodes[12].pinned = True
    async with Shown().run_test(size=(40, 10)) as pilot:
        view = pilot.app.query_one(MapView)
        view.show(run, None, flashes)
        view.select(22)
        take(run, flashes, evicted(5, 1, 40), evicted(11, 1, 41), evicted(21, 1, 42))
        for t_ns in (42, 40 + FLASH_NS // 2, 39 + FLASH_NS):
            view.show(run, None, flashes.forget(t_ns))
            row = view.render_line(0)
            assert row.text.startswith("aaaaxaaaa*aaaaaaaa]aaaaaaaa ".replace("x", EVICTED)), t_ns
            (crossed,) = (segment for segment in row if EVICTED in segment.text)
            grounds = {segment.style.bgcolor for segment in row.crop(2, 8) if segment.style is not None}
            assert crossed.style is not None
            assert crossed.style.bgcolor in grounds
        view.show(run, None, flashes.forget(42 + FLASH_NS))
        assert EVICTED not in view.render_line(0).text


async def test_a_node_too_small_for_a_cell_is_no_reason_to_lay_out_again() -> None:
    run, flashes = RunState(capacity_tokens=400_000), Flashes()
    take(run, flashes, warm("w", 1), added(1, 10, 2, rid="w"))
    async with Shown().run_test(size=(40, 10)) as pilot:
        view = pilot.app.query_one(MapView)
        assert view.is_behind(run, flashes)
        view.show(run, None, flashes)
        assert not view.is_behind(run, flashes)
        take(run, flashes, added(2, 20_000, 3, rid="w"))
        assert view.is_behind(run, flashes)
        view.show(run, None, flashes)
        assert "»»»" in view.render_line(0).text


@given(st.sets(st.integers(0, 40)), st.integers(0, 30))
def test_runs_are_the_rows_of_the_map_and_no_two_touch(rows: set[int], height: int) -> None:
    runs = list(runs_of(rows, height))
    assert [y for run in runs for y in run] == sorted(y for y in rows if y < height)
    assert all(before.stop < after.start for before, after in pairwise(runs))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20))), st.integers(0, 70), st.integers(1, 30))
def test_every_mark_on_some_cells_is_found(spans: list[tuple[int, int]], first: int, cells: int) -> None:
    marks = Marks(sorted(Mark(begin, begin + length, "x") for begin, length in spans))
    wanted = [mark for mark in marks if mark.first < first + cells and first < mark.end]
    found = marks.on(first, first + cells)
    assert [mark for mark in found if mark in wanted] == wanted
    assert set(found) <= set(marks)


def test_what_differs_is_between_what_does_not() -> None:
    old = [Span(0, 5, 1), Span(5, 9, 2), Span(9, 12, 3), Span(12, 20, -1)]
    new = [Span(0, 5, 1), Span(5, 8, 2), Span(8, 12, 4), Span(12, 20, -1)]
    assert differing(old, old, {}, {}) == range(0)
    assert differing(old, new, {}, {}) == range(5, 12)
    assert differing([], new, {}, {}) == range(20)
    assert differing(old, new[:2], {}, {}) == range(5, 8)
    assert rows_of([Mark(5, 12, "x")], 5) == {1, 2}
    assert rows_of([Mark(5, 12, "x")], 0) == set()
