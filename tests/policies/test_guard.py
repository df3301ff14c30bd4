"""The guard: it gives way to LRU where the policy's order loses, not where it wins, and comes back."""

from __future__ import annotations

from typing import Any

import pytest

from radixdeck.policies.events import EngineStarted, NodeEvicted, PrefixMatched
from radixdeck.policies.guard import FIRST_REST, MIN_DISPATCHES, Guard
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.primitives import Score, Subject
from radixdeck.policies.recency import Recency


def matched(number: int, session: str, cached: int, **more: Any) -> PrefixMatched:
    return PrefixMatched(
        t_ns=number * 10**9, rid=f"r{number}", agent="coder", session=session, prompt_tokens=1000,
        cached_tokens=cached, **more)  # fmt: skip


def evicted(number: int, node: int, instead: int) -> NodeEvicted:
    return NodeEvicted(
        t_ns=number * 10**9, node=node, tokens=500, start=500, agents=("coder",), role="private", session="wanted",
        instead=instead, idle_s=0.5)  # fmt: skip


def fought(asked_for: str, rounds: int = MIN_DISPATCHES + 40, margin: float = 0.03) -> Guard:
    """Each round node 2n is evicted where LRU would have taken node 2n + 1, and then one of them is asked for."""
    guard = Guard()
    for number in range(rounds):
        guard.observe(evicted(number, 2 * number, 2 * number + 1), margin)
        if asked_for == "gone":
            guard.observe(matched(number, "wanted", 500), margin)
        else:
            guard.observe(matched(number, "other", 1000, node=2 * number + 1), margin)
    return guard


def test_it_gives_way_when_what_went_is_what_was_asked_for():
    assert fought("gone").resting > 0


def test_it_stays_when_what_lru_would_have_taken_is_what_was_asked_for():
    guard = fought("kept")
    assert guard.resting == 0
    assert guard.won_tokens > 0


def test_it_stays_while_little_was_seen_or_the_margin_is_wide():
    assert fought("gone", rounds=MIN_DISPATCHES).resting == 0
    assert fought("gone", margin=1.0).resting == 0


def test_it_comes_back_after_a_rest_and_rests_longer_the_next_time():
    guard = fought("gone", rounds=MIN_DISPATCHES + 1)
    assert guard.resting == FIRST_REST
    for number in range(FIRST_REST):
        guard.observe(matched(1000 + number, "other", 1000), 0.03)
    assert guard.resting == 0
    for number in range(2000, 2100):
        guard.observe(evicted(number, 2 * number, 2 * number + 1), 0.03)
        guard.observe(matched(number, "wanted", 500), 0.03)
    assert guard.resting > FIRST_REST


def test_what_lru_would_have_lost_too_is_no_loss():
    guard = Guard()
    guard.observe(EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=2000, page_size=1, policy="x"), 0.03)
    for number in range(MIN_DISPATCHES + 40):
        guard.observe(evicted(10 * number, 2 * number, 2 * number + 1), 0.03)
        for extra in range(1, 8):
            guard.observe(matched(10 * number + extra, f"other{extra}", 0), 0.03)
        guard.observe(matched(10 * number + 9, "wanted", 500), 0.03)
    assert guard.lost_tokens < 500
    assert guard.resting == 0


def test_the_policy_scores_like_lru_while_the_guard_rests():
    policy = KvCaching()
    policy.tunables.set("guard_margin", 0.0)
    for number in range(MIN_DISPATCHES + 2):
        policy.observe(evicted(number, 2 * number, 2 * number + 1))
        policy.observe(matched(number, "wanted", 500))
    scores = [policy.score(Subject(role, ("coder",)), 70.0) for role in ("anchor", "private")]
    assert [score.key for score in scores] == [0.0, 0.0]
    assert isinstance(scores[0], Score)
    assert scores[0].parts["guard_dispatches"] > 0


@pytest.mark.parametrize(("capacity_tokens", "horizon_s"), [(2500, 3.0), (1e9, float("inf"))])
def test_the_horizon_is_the_time_of_one_cacheful(capacity_tokens: int, horizon_s: float):
    recency = Recency()
    recency.capacity_tokens = capacity_tokens
    for number in range(16):
        recency.dispatched(matched(number, f"s{number}", 0))
    assert recency.horizon_s == pytest.approx(horizon_s, abs=1.0)
