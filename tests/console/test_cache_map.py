"""The picture of the pool covers it without gaps, keeps its order, and the next victims are the engine's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario import folded, run_events

from radixdeck.console.cache_map import PENDING, held_tokens, lay_out, ordered, score_of
from radixdeck.console.victim_order import Queue
from radixdeck.daemon.wire import SubjectScore
from radixdeck.policies.events import NO_NODE
from radixdeck.policies.residency import AgentStats, NodeView, RunState


def tree(*views: NodeView, capacity: int = 1000, used: int = 0) -> RunState:
    agents = {agent: AgentStats(agent=agent) for view in views for agent in view.agents}
    return RunState(capacity_tokens=capacity, used_tokens=used, nodes={v.node: v for v in views}, agents=agents)


def anchor(node: int, tokens: int, agent: str = "a", **more: object) -> NodeView:
    return NodeView(node=node, parent=0, start=0, tokens=tokens, agents=(agent,), role="anchor", **more)  # type: ignore[arg-type]


@given(
    sizes=st.lists(st.integers(1, 5000), max_size=40),
    capacity=st.integers(0, 60_000),
    pending=st.integers(0, 9000),
    cells=st.integers(1, 4000),
)
def test_spans_cover_every_cell_once(sizes: list[int], capacity: int, pending: int, cells: int) -> None:
    run = tree(*(anchor(n, size) for n, size in enumerate(sizes)), capacity=capacity, used=sum(sizes) + pending)
    spans = lay_out(run, cells).spans
    assert [span.first for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert spans[-1].end == cells
    assert all(span.first < span.end for span in spans)


def test_cells_are_in_proportion() -> None:
    run = tree(anchor(1, 250), anchor(2, 500, "b"), capacity=1000, used=850)
    found = {span.node: span.end - span.first for span in lay_out(run, 100).spans}
    assert found == {1: 25, 2: 50, PENDING: 10, NO_NODE: 15}


def test_what_the_tree_holds_counts_even_if_the_engine_calls_it_free() -> None:
    assert held_tokens(tree(anchor(1, 250), capacity=1000, used=0)) == 250
    assert held_tokens(tree(anchor(1, 250), capacity=1000, used=900)) == 900


def test_an_empty_pool_is_all_free() -> None:
    picture = lay_out(RunState(), 10)
    assert picture.at(3).node == NO_NODE
    assert picture.beside(NO_NODE, 1) == NO_NODE


def test_order_is_shared_then_by_agent_anchor_before_histories() -> None:
    views = [
        NodeView(node=5, parent=1, start=9, tokens=1, role="unowned"),
        NodeView(node=4, parent=3, start=9, tokens=1, agents=("b",), role="private", session="s"),
        NodeView(node=3, parent=1, start=5, tokens=1, agents=("b",), role="anchor"),
        NodeView(node=2, parent=1, start=5, tokens=1, agents=("a",), role="anchor"),
        NodeView(node=1, parent=0, start=0, tokens=5, agents=("a", "b"), role="shared"),
    ]
    run = tree(*views)
    run.agents = {"b": AgentStats(agent="b"), "a": AgentStats(agent="a")}
    assert [view.node for view in ordered(run.nodes.values(), run)] == [1, 3, 4, 2, 5]


def test_victims_without_scores_go_by_oldest_use_leaves_only_pinned_last() -> None:
    run = tree(
        anchor(1, 10, last_use_ns=1),
        NodeView(node=2, parent=1, start=10, tokens=5, agents=("a",), role="private", session="s", last_use_ns=9),
        anchor(3, 10, "b", last_use_ns=2, pinned=True),
        anchor(4, 10, "c", last_use_ns=5),
    )
    assert [victim.view.node for victim in Queue(run, ()).next(9)] == [4, 2, 3]


def test_victims_with_scores_go_by_score_and_keep_its_parts() -> None:
    run = tree(anchor(1, 10, "a", last_use_ns=1), anchor(2, 10, "b", last_use_ns=2))
    scores = [
        SubjectScore(role="anchor", agents=("a",), key=0.9, parts={"rate_per_s": 0.9}),
        SubjectScore(role="anchor", agents=("b",), key=0.1),
    ]
    first, second = Queue(run, scores).next(2)
    assert (first.view.node, second.view.node, second.parts) == (2, 1, {"rate_per_s": 0.9})


def test_an_order_on_one_node_wins_over_its_kind() -> None:
    kind = SubjectScore(role="anchor", agents=("a",), key=0.1)
    single = SubjectScore(role="anchor", agents=("a",), node=1, key=5.0)
    assert score_of(anchor(1, 10), [kind, single]) == single
    assert score_of(anchor(2, 10), [kind, single]) == kind


@pytest.mark.parametrize("places", [-999, -1, 0, 1, 999])
def test_moving_stays_on_the_map(places: int) -> None:
    run = folded(run_events())
    picture = lay_out(run, 500)
    assert picture.beside(next(iter(run.nodes)), places) in run.nodes


def test_pinning_an_agent_pins_its_nodes() -> None:
    run = tree(anchor(1, 10, "a", last_use_ns=1), anchor(2, 10, "b", last_use_ns=2))
    run.agents["a"].pinned = True
    assert [(victim.view.node, victim.pinned) for victim in Queue(run, ()).next(2)] == [(2, False), (1, True)]
