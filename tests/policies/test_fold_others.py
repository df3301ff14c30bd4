"""However many agents a run meets, its state stays bounded and its numbers add up."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec
from folding import folded
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import any_stream

from radixdeck.policies.events import ActionTaken, AgentSeen, AnyEvent, NodeAdded, PrefixMatched
from radixdeck.policies.fold import others as fold_others
from radixdeck.policies.fold.others import AGENTS_KEPT, OTHERS
from radixdeck.policies.residency import RunState


def asked(number: int, **more: Any) -> PrefixMatched:
    """A request of an agent of its own, the second of its session after the agent `first`."""
    return PrefixMatched(
        t_ns=number, rid=f"r{number}", agent=f"a{number}", session=f"s{number % 7}", prompt_tokens=10, cached_tokens=4,
        **more,
    )  # fmt: skip


def test_many_agents_become_one_row_and_nothing_is_lost():
    state = folded([asked(number) for number in range(3 * AGENTS_KEPT)])
    assert len(state.agents) <= AGENTS_KEPT
    assert f"a{3 * AGENTS_KEPT - 1}" in state.agents
    assert "a0" not in state.agents
    assert sum(stats.dispatches for stats in state.agents.values()) == state.totals.requests == 3 * AGENTS_KEPT
    assert sum(stats.cached_tokens for stats in state.agents.values()) == state.totals.cached_tokens
    steps = sum(number for row in state.transitions.values() for number in row.values())
    assert steps == 3 * AGENTS_KEPT - 7
    assert len(state.transitions) <= AGENTS_KEPT
    assert state.agents[OTHERS].last_seen_ns > 0


def test_who_holds_something_or_is_under_an_order_keeps_its_row():
    holder = NodeAdded(t_ns=0, node=1, parent=0, start=0, tokens=5, agent="holder", role="anchor")
    ordered = ActionTaken(t_ns=0, id="1", kind="quarantine", agent="ordered")
    state = folded([holder, ordered, *(asked(number) for number in range(2 * AGENTS_KEPT))])
    assert state.agents["holder"].resident_tokens == 5
    assert state.agents["ordered"].quarantined
    assert len(state.agents) <= AGENTS_KEPT


def test_who_is_seen_for_the_first_time_is_not_the_one_seen_longest_ago():
    seen = AgentSeen(t_ns=10**12, agent="new", label="You are new.", fingerprint="f", declared=False)
    state = folded([*(asked(number) for number in range(AGENTS_KEPT)), seen])
    assert state.agents["new"].label == "You are new."


@given(any_stream, st.integers(0, 60))
@settings(deadline=None, max_examples=200)
def test_a_keyframe_and_the_rest_give_the_same_state_with_few_rows(stream: list[AnyEvent], cut: int):
    with patch.object(fold_others, "AGENTS_KEPT", 2), patch.object(fold_others, "AGENTS_LEFT", 1):
        whole = folded(stream)
        keyframe = msgspec.json.encode(folded(stream[:cut]))
        assert folded(stream[cut:], msgspec.json.decode(keyframe, type=RunState)) == whole
    assert sum(stats.dispatches for stats in whole.agents.values()) == whole.totals.requests
    assert sum(stats.evictions_that_hurt for stats in whole.agents.values()) == whole.totals.evictions_that_hurt
    for name, stats in whole.agents.items():
        assert stats.resident_tokens == sum(view.tokens for view in whole.nodes.values() if name in view.agents)
