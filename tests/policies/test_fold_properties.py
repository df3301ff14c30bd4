"""What must hold of the fold for every stream, however odd."""

from __future__ import annotations

import msgspec
from folding import folded
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import any_stream

from radixdeck.policies.events import AnyEvent
from radixdeck.policies.fold.requests import REQUESTS_KEPT, SESSIONS_KEPT
from radixdeck.policies.fold.tree import anchor_overlap
from radixdeck.policies.residency import RunState, resident_tokens


@given(any_stream, st.integers(0, 60))
@settings(deadline=None, max_examples=300)
def test_a_keyframe_and_the_rest_give_the_same_state_as_all_events(stream: list[AnyEvent], cut: int):
    keyframe = msgspec.json.encode(folded(stream[:cut]))
    resumed = folded(stream[cut:], msgspec.json.decode(keyframe, type=RunState))
    assert resumed == folded(stream)
    assert msgspec.json.decode(msgspec.json.encode(resumed), type=RunState) == resumed


@given(any_stream)
@settings(deadline=None, max_examples=300)
def test_counters_of_agents_agree_with_the_tree_and_the_totals(stream: list[AnyEvent]):
    state = folded(stream)
    assert sum(stats.dispatches for stats in state.agents.values()) == state.totals.requests
    assert sum(stats.prompt_tokens for stats in state.agents.values()) == state.totals.prompt_tokens
    assert sum(stats.warmups for stats in state.agents.values()) == state.totals.warmups
    assert resident_tokens(state) >= 0
    for name, stats in state.agents.items():
        owned = [view for view in state.nodes.values() if name in view.agents]
        assert stats.resident_tokens == sum(view.tokens for view in owned) >= 0
        assert stats.anchor_resident_tokens == sum(anchor_overlap(view, stats.anchor_tokens) for view in owned)
        assert stats.running >= 0


@given(any_stream)
@settings(deadline=None)
def test_the_state_stays_bounded(stream: list[AnyEvent]):
    state = folded(stream * 3)
    assert len(state.requests) <= REQUESTS_KEPT
    assert len(state.session_agent) <= SESSIONS_KEPT
    assert state.totals.evictions_that_hurt == sum(stats.evictions_that_hurt for stats in state.agents.values())
