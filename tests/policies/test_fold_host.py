"""The fold of the host tier: what lies there only, by what the engine says; nothing where it says nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import msgspec
import pytest
from folding import after

from radixdeck.policies.events import (
    AnyEvent,
    CacheFlushed,
    EngineLost,
    EngineStarted,
    HostNodeKept,
    HostNodeLeft,
    NodeAdded,
    NodeEvicted,
    PrefixMatched,
)
from radixdeck.policies.fold import tree as fold_tree
from radixdeck.policies.residency import RunState, fold, resident_tokens


def started(host_tokens: int = 500) -> EngineStarted:
    return EngineStarted(
        t_ns=1, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru", host_capacity_tokens=host_tokens
    )


def added(node: int, tokens: int = 10, *, from_host: bool = False) -> NodeAdded:
    return NodeAdded(
        t_ns=2, node=node, parent=0, start=0, tokens=tokens, agent="a", role="private", session="s", from_host=from_host
    )


def moved(node: int, tokens: int = 10) -> NodeEvicted:
    return NodeEvicted(
        t_ns=3, node=node, tokens=tokens, start=0, agents=("a",), role="private", session="s", to_host=True
    )


def test_what_moves_there_lies_there_as_it_was_and_counts_as_evicted() -> None:
    state = after(started(), added(1), moved(1))
    assert state.host[1].agents == ("a",)
    assert state.host[1].last_use_ns == 2
    assert state.nodes == {}
    assert (state.totals.evictions, state.agents["a"].resident_tokens) == (1, 0)


def test_what_comes_back_is_in_one_place_only() -> None:
    state = after(started(), added(1), moved(1), added(1, from_host=True))
    assert (list(state.nodes), list(state.host)) == ([1], [])
    assert resident_tokens(state) == 10
    assert state.totals.oddities == 0


def test_what_leaves_is_nowhere() -> None:
    state = after(started(), added(1), added(2), moved(1), moved(2), HostNodeLeft(t_ns=4, node=1, tokens=10))
    assert list(state.host) == [2]


def test_a_split_there_makes_two_that_keep_what_was_known() -> None:
    state = after(
        started(),
        added(1),
        moved(1),
        HostNodeKept(t_ns=4, node=2, parent=0, start=0, tokens=6, agents=("a",), role="anchor"),
        HostNodeKept(t_ns=4, node=1, parent=2, start=6, tokens=4, agents=("a",), role="private", session="s"),
    )
    assert {node: (view.start, view.tokens, view.role) for node, view in state.host.items()} == {
        2: (0, 6, "anchor"),
        1: (6, 4, "private"),
    }
    assert state.host[1].last_use_ns == 2


@pytest.mark.parametrize("over", [CacheFlushed(t_ns=5), EngineLost(t_ns=5, reason="x", retry_in_s=1.0), started()])
def test_it_ends_with_the_cache(over: AnyEvent) -> None:
    assert after(started(), added(1), moved(1), over).host == {}


def test_an_engine_that_tells_of_no_tier_is_not_followed() -> None:
    state = after(started(0), added(1), moved(1), HostNodeKept(t_ns=4, node=2, parent=0, start=0, tokens=6))
    assert state.host == {}
    assert after(started(-5)).host_capacity_tokens == 0


def test_odd_facts_are_borne_and_counted() -> None:
    state = after(
        started(),
        moved(9),
        HostNodeLeft(t_ns=4, node=77, tokens=-1),
        added(1),
        HostNodeKept(t_ns=5, node=1, parent=1, start=-4, tokens=-9, agents=("a", "a")),
    )
    assert (list(state.nodes), list(state.host)) == ([], [1])
    assert (state.host[1].start, state.host[1].tokens, state.host[1].agents) == (0, 0, ("a",))
    assert state.agents["a"].resident_tokens == 0
    assert state.totals.oddities == 2


def shuffled(rng: random.Random) -> Iterator[AnyEvent]:
    """A host tier at work: nodes go there, come back, leave, split, get other owners; sometimes all is told anew."""
    lying: dict[int, int] = {}
    numbers = count(1)

    def kept(node: int, tokens: int, had_tokens: int) -> HostNodeKept:
        return HostNodeKept(t_ns=4, node=node, parent=0, start=0, tokens=tokens, agents=("b",), had_tokens=had_tokens)

    for _ in range(300):
        node = rng.choice(list(lying)) if lying else 0
        match rng.choice(("go", "go", "go", "back", "leave", "split", "own", "anew")):
            case "go":
                node, tokens = next(numbers), rng.randrange(2, 30)
                lying[node] = tokens
                yield from (added(node, tokens), moved(node, tokens))
            case "back" if node:
                yield added(node, lying.pop(node), from_host=True)
            case "leave" if node:
                yield HostNodeLeft(t_ns=4, node=node, tokens=lying.pop(node))
            case "split" if lying.get(node, 0) > 1:
                upper, had = next(numbers), lying[node]
                lying[upper] = rng.randrange(1, had)
                lying[node] = had - lying[upper]
                yield from (kept(upper, lying[upper], 0), kept(node, lying[node], had))
            case "own" if node:
                yield kept(node, lying[node], lying[node])
            case "anew" if rng.random() < 0.1:
                yield CacheFlushed(t_ns=4)
                yield from (kept(node, tokens, 0) for node, tokens in lying.items())
            case _:
                pass


@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_followed_is_counted_exactly(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, bounded, most = RunState(), RunState(), 0
    for state in (whole, bounded):
        fold(state, started())
    for event in shuffled(random.Random(seed)):
        fold(whole, event)
        with monkeypatch.context() as patch:
            patch.setattr(fold_tree, "HOST_NODES", 4)
            fold(bounded, event)
        assert len(bounded.host) <= 4
        assert len(bounded.host) + bounded.host_beyond == len(whole.host)
        tokens = sum(view.tokens for view in bounded.host.values()) + bounded.host_beyond_tokens
        assert tokens == sum(view.tokens for view in whole.host.values())
        most = max(most, bounded.host_beyond)
    assert most > 10


def test_a_gap_that_hides_what_left_does_not_make_it_grow_for_ever_nor_a_keyframe() -> None:
    state, nodes = after(started()), fold_tree.HOST_NODES + 50
    for node in range(nodes):
        fold(state, added(node))
        fold(state, moved(node))
    assert list(state.host) == list(range(50, nodes))
    assert (state.host_beyond, state.host_beyond_tokens) == (50, 500)
    assert len(msgspec.json.encode(state)) < 3 << 20


@pytest.mark.parametrize(("host_tokens", "hurts"), [(10, 0), (0, 1)])
def test_what_is_found_there_was_not_computed_again_and_hurts_nobody(host_tokens: int, hurts: int) -> None:
    state = after(
        started(),
        added(1),
        moved(1),
        PrefixMatched(
            t_ns=5, rid="r", agent="a", session="s", prompt_tokens=20, cached_tokens=0, host_tokens=host_tokens
        ),
    )
    assert state.totals.evictions_that_hurt == hurts


def test_it_is_in_a_keyframe_and_comes_out_of_it_the_same() -> None:
    state = after(started(), added(1), moved(1))
    assert msgspec.json.decode(msgspec.json.encode(state), type=RunState) == state
    assert b"host" not in msgspec.json.encode(after(started(0), added(1)))
