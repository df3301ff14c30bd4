"""The radix tree as rows: order, levels, folds, filter, odd streams; and on the screen, in step with the map."""

from __future__ import annotations

import asyncio

import pytest
from counted import calls_of
from scenario import folded, run_events
from staging import LARGE, SMALL, ScriptedFeed, batch, console, drawn, live_messages
from textual.widget import Widget

from radixdeck.console.cache_tree import CacheTree, below_words, row_words
from radixdeck.console.screens.residency import ResidencyScreen
from radixdeck.console.widgets.map_view import MapView
from radixdeck.console.widgets.tree_view import Standing, TreeView
from radixdeck.policies import events as e
from radixdeck.policies.residency import NodeView, RunState

EVENTS = run_events()


def node(number: int, parent: int, agent: str, role: e.Role = "private", **more: object) -> NodeView:
    return NodeView(node=number, parent=parent, start=0, tokens=10, agents=(agent,), role=role, **more)  # type: ignore[arg-type]


def run_of(*views: NodeView) -> RunState:
    return RunState(nodes={view.node: view for view in views})


CHAIN = run_of(
    node(1, 0, "a", "anchor"),
    node(2, 1, "a", session="s1"),
    node(3, 2, "a", session="s1", part="output"),
    node(4, 1, "a", session="s2", part="old"),
)


def test_rows_stand_below_what_they_hang_from() -> None:
    rows = CacheTree(CHAIN).rows(0)
    assert [(row.view.node, row.level, row.straight) for row in rows] == [
        (1, 0, False),
        (2, 1, False),
        (3, 1, True),
        (4, 1, False),
    ]
    assert [(row.below, row.below_tokens) for row in rows] == [(3, 30), (1, 10), (0, 0), (0, 0)]
    assert [row_words(row.view) for row in rows] == [
        "anchor a #1",
        "history a s1 #2",
        "output a s1 #3",
        "superseded a s2 #4",
    ]


@pytest.mark.parametrize(
    ("fold", "turned", "shown"),
    [
        (0, (), [1, 2, 3, 4]),
        (0, (2,), [1, 2, 4]),
        (1, (), [1, 2, 4]),
        (1, (2,), [1, 2, 3, 4]),
        (2, (), [1]),
        (2, (1,), [1, 2, 4]),
    ],
)
def test_what_is_folded_is_put_away(fold: int, turned: tuple[int, ...], shown: list[int]) -> None:
    rows = CacheTree(CHAIN).rows(fold, turned)
    assert [row.view.node for row in rows] == shown
    assert all(bool(below_words(row)) == row.folded for row in rows)


def test_a_long_history_is_one_row_and_opens_at_once() -> None:
    turns = [node(number, number - 1, "a", session="s") for number in range(2, 60)]
    tree = CacheTree(run_of(node(1, 0, "a", "anchor"), *turns))
    assert [row.below for row in tree.rows(1)] == [58, 57]
    opened = tree.rows(1, (2,))
    assert len(opened) == 59
    assert {row.level for row in opened} == {0}


def test_a_filter_leaves_what_matches_and_what_is_above() -> None:
    tree = CacheTree(CHAIN)
    assert [(row.view.node, row.found) for row in tree.rows(2, (), "S1 ")] == [(1, False), (2, True), (3, True)]
    assert [row.view.node for row in tree.rows(0, (), "superseded")] == [1, 4]
    assert tree.rows(0, (), "nobody") == []


def test_rings_and_orphans_are_listed_once() -> None:
    strange = run_of(node(1, 1, "a"), node(2, 3, "a"), node(3, 2, "a"), node(4, 99, "a"), node(5, 3, "a"))
    tree = CacheTree(strange)
    assert sorted(row.view.node for row in tree.rows(0)) == [1, 2, 3, 4, 5]
    assert tree.above(2) == [3]
    assert all(row.below < 5 for row in tree.rows(0))


def test_the_whole_scenario_is_in_the_tree() -> None:
    state = folded(EVENTS)
    rows = CacheTree(state).rows(0)
    assert {row.view.node for row in rows} == set(state.nodes)
    roots = [row for row in rows if row.level == 0 and not row.straight]
    held = sum(row.view.tokens + row.below_tokens for row in roots)
    assert held == sum(view.tokens for view in state.nodes.values())


def test_listing_twice_as_many_nodes_takes_twice_the_work() -> None:
    def work(nodes: int) -> int:
        roles: list[e.Role] = ["anchor"] * 40 + ["private"] * (nodes - 40)
        views = [
            node(n, max(0, n - 40), f"agent-{n % 40}", role, session=f"s{n % 7}") for n, role in enumerate(roles, 1)
        ]
        state, view = run_of(*views), TreeView()
        calls = calls_of(lambda: view.show(state, Standing(0, {}), 0, ""))
        assert len(view.rows) == nodes
        return calls

    assert work(2400) < 2.2 * work(1200)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_map_and_tree_have_one_cursor(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        screen = pilot.app.screen
        view, tree = screen.query_one(MapView), screen.query_one(TreeView)
        await pilot.press("right", "right", "right", "T")
        text = await drawn(pilot)
        assert "radix tree, 15 nodes" in text
        assert tree.node == view.node
        assert "history of coder in s0" in text
        await pilot.press("down", "j")
        assert "history of critic in s0" in await drawn(pilot)
        await pilot.press("T")
        assert view.node == tree.node
        assert "KV pool, 4,000 tok" in await drawn(pilot)


async def all_told(*widgets: Widget) -> None:
    """Until what these tell has come all the way up, and what is told for it down and up again. Each handles in order
    what it is told."""
    for _ in range(3):
        for pump in (pump for widget in widgets for pump in widget.ancestors_with_self):
            done = asyncio.Event()
            pump.call_later(done.set)
            await done.wait()


async def test_moves_faster_than_messages_leave_the_cursor_at_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And they come to rest: a message about an earlier node calls for no other one."""
    async with console(LARGE) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, ResidencyScreen)
        view, tree, shown = screen.query_one(MapView), screen.query_one(TreeView), list[int]()
        monkeypatch.setattr(screen, "_show_node", lambda entry: shown.append(view.node))
        moves = [span.node for span in view._map.spans if span.node >= 0][1:4]
        for node in moves:
            view.select(node)
        await all_told(view, tree)
        assert view.node == moves[-1]
        assert shown == [moves[-1]] * 3
        await pilot.press("T")
        tree.action_move(1)
        tree.action_move(1)
        shown.clear()
        await all_told(view, tree)
        assert view.node == tree.node
        assert 2 <= len(shown) <= 5
        shown.clear()
        await all_told(view, tree)
        assert shown == []


async def test_the_tree_folds_filters_and_unfolds_for_the_cursor() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2", "T", "f", "f")
        text = await drawn(pilot)
        assert "folded: each agent's anchor" in text
        assert "+2 below, 450 tok" in text
        tree = pilot.app.screen.query_one(TreeView)
        assert len(tree.rows) == 7
        await pilot.press("down", "down", "enter", "right")
        assert "history of coder in s0" in await drawn(pilot)
        assert len(tree.rows) == 8
        await pilot.press("left", "left")
        await drawn(pilot)
        assert len(tree.rows) == 7
        await pilot.press("slash", *"tester", "enter")
        text = await drawn(pilot)
        assert "4 rows with 'tester'" in text
        await pilot.press("end", "T", "T")
        assert "history of tester in s2" in await drawn(pilot)
        await pilot.press("escape")
        await drawn(pilot)
        assert "history of tester in s2" in await drawn(pilot)


async def test_orders_from_the_tree_are_about_its_node() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(LARGE, feed) as pilot:
        await pilot.press("2", "T", "end")
        await drawn(pilot)
        await pilot.press("p")
        await drawn(pilot)
        assert feed.orders == [("box-1", "pin", {"node": pilot.app.screen.query_one(TreeView).node})]


async def test_clicks_choose_and_fold() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2", "T")
        await drawn(pilot)
        tree = pilot.app.screen.query_one(TreeView)
        await pilot.click(TreeView, offset=(20, 2))
        assert tree.node == tree.rows[2].view.node
        await pilot.click(TreeView, offset=(1, 0))
        assert len(tree.rows) == 1


async def test_a_node_that_goes_leaves_the_cursor_on_what_was_above_it() -> None:
    feed = ScriptedFeed(live_messages(EVENTS))
    async with console(LARGE, feed) as pilot:
        await pilot.press("2", "T", "end")
        await drawn(pilot)
        tree = pilot.app.screen.query_one(TreeView)
        gone, t_ns = tree.rows[-1].view, EVENTS[-1].t_ns + 1
        feed.tell(
            batch([e.NodeEvicted(t_ns=t_ns, node=gone.node, tokens=gone.tokens, start=gone.start)], len(EVENTS) + 1)
        )
        await drawn(pilot)
        assert tree.node not in (gone.node, e.NO_NODE)
        feed.tell(batch([e.CacheFlushed(t_ns=t_ns + 1)], len(EVENTS) + 2))
        assert "the cache is empty" in await drawn(pilot)
        assert tree.rows == []
