"""When a node's turn to be evicted comes, and what the map says of it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from scenario import folded, run_events
from staging import LARGE, console, drawn

from radixdeck.console.cache_map import urgency, victims_of
from radixdeck.console.victim_order import Queue, Turn, computed_per_s, in_order, turn_words
from radixdeck.daemon.wire import SubjectScore
from radixdeck.policies.fold.trends import moment
from radixdeck.policies.residency import NodeView, RunState

S = 1_000_000_000


def three() -> RunState:
    """A prefix of two histories, the second used last; 30 tokens are free."""
    nodes = [
        NodeView(node=1, parent=0, start=0, tokens=50, agents=("a",), role="anchor", last_use_ns=3 * S),
        NodeView(node=2, parent=1, start=50, tokens=10, agents=("a",), role="private", session="s", last_use_ns=1 * S),
        NodeView(node=3, parent=1, start=50, tokens=10, agents=("a",), role="private", session="t", last_use_ns=2 * S),
    ]
    return RunState(capacity_tokens=100, nodes={view.node: view for view in nodes}, t_ns=4 * S)


def test_a_prefix_goes_after_everything_below_it() -> None:
    assert [victim.view.node for victim in in_order(three(), ())] == [2, 3, 1]


def test_scores_and_pins_decide_before_age() -> None:
    scores = [SubjectScore(role="private", agents=("a",), session="s", key=5.0)]
    assert [victim.view.node for victim in in_order(three(), scores)] == [3, 2, 1]
    state = three()
    state.nodes[2].pinned = True
    assert [victim.view.node for victim in in_order(state, ())] == [3, 2, 1]


def test_how_much_must_be_computed_before_a_node_goes() -> None:
    turn = Queue(three(), ()).turn_of([1], 4 * S)
    assert turn is not None
    assert turn == Turn(place=3, before_tokens=20, free_tokens=30, per_s=0.0, pinned=False)
    assert turn_words(turn) == "goes as number 3: after 51 tok more; nothing is computed now"
    paced = turn._replace(per_s=10.0)
    assert turn_words(paced) == "goes as number 3: after 51 tok more, about 5.1 s at the present 10 tok/s"
    assert Queue(three(), ()).turn_of([77], 0) is None


@pytest.mark.parametrize(
    ("busy_s", "now_s", "per_s"),
    [
        (range(0, 20), 20, 10.0),  # a run that has begun
        (range(0, 300), 300, 10.0),
        ([*range(0, 100), *range(280, 300)], 300, 10.0),  # begun again after a long rest
        ([*range(0, 230), *range(280, 300)], 300, 20 / 6),  # a short rest is part of the pace
        (range(0, 1), 1, 2.0),  # a second is too short to judge by
        (range(0, 100), 300, 0.0),
    ],
)
def test_the_pace_is_that_of_the_last_minute_or_since_it_began(busy_s: Iterable[int], now_s: int, per_s: float) -> None:
    state = RunState()
    for second in busy_s:
        moment(state, f"a{second % 3}", (1000 + second) * S).prompt_tokens += 10
    assert computed_per_s(state, (1000 + now_s) * S) == pytest.approx(per_s, rel=0.1)


def test_every_node_has_its_turn_and_the_first_are_the_next_victims() -> None:
    state = folded(run_events())
    order = list(in_order(state, ()))
    assert sorted(victim.view.node for victim in order) == sorted(state.nodes)
    parents = {view.parent for view in state.nodes.values()}
    leaves = [victim for victim in order if victim.view.node not in parents]
    assert Queue(state, ()).next(5) == leaves[:5]
    assert leaves == sorted(leaves, key=urgency)
    assert order[0] == leaves[0]


def test_a_ring_in_an_odd_stream_ends() -> None:
    ring = RunState(nodes={n: NodeView(node=n, parent=3 - n, start=0, tokens=1) for n in (1, 2)})
    assert list(in_order(ring, ())) == []


async def test_the_map_explains_the_turn_and_shades_by_it() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("2", "right", "right")
        assert "goes as number" in await drawn(pilot)
        await pilot.press("v")
        assert "by age, 0 the youngest" in await drawn(pilot)
        await pilot.press("v")
        text = await drawn(pilot)
        assert "by turn, 0 goes first" in text
        assert "0000000" in text
        assert "just gone" in text
        await pilot.press("v")
        assert "CCCC" in await drawn(pilot)


def test_the_order_is_that_of_taking_the_first_of_all_leaves_again_and_again() -> None:
    rng = Random(3)
    for size in range(40):
        nodes = [
            NodeView(node=n, parent=rng.randrange(n), start=0, tokens=1, last_use_ns=rng.randrange(6), role="private",
                     pinned=rng.random() < 0.1)
            for n in range(1, size + 1)
        ]  # fmt: skip
        run = RunState(nodes={view.node: view for view in nodes})
        left, taken = victims_of(run, ()), list[int]()
        while left:
            parents = {victim.view.parent for victim in left.values()}
            taken.append(min((one for node, one in left.items() if node not in parents), key=urgency).view.node)
            del left[taken[-1]]
        assert [victim.view.node for victim in in_order(run, ())] == taken
