"""What the fold makes of particular events."""

from __future__ import annotations

from typing import Any

import pytest
from folding import after
from traffic import Shape, run

from radixdeck.policies.events import (
    ActionKind,
    ActionTaken,
    AgentSeen,
    AnchorMeasured,
    CacheFlushed,
    EngineLoadSampled,
    EngineLost,
    EngineStarted,
    EventsDropped,
    FirstTokenSent,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
    PolicySwitched,
    PrefixInserted,
    PrefixMatched,
    RequestArrived,
    RequestFinished,
    RequestRefused,
    Role,
    SessionEnded,
    TunableChanged,
)
from radixdeck.policies.residency import resident_tokens

SECOND = 10**9


def matched(rid: str, agent: str, session: str, prompt: int, cached: int, t_ns: int = 1, **more: Any) -> PrefixMatched:
    return PrefixMatched(
        t_ns=t_ns, rid=rid, agent=agent, session=session, prompt_tokens=prompt, cached_tokens=cached, **more
    )


def added(node: int, parent: int, start: int, tokens: int, agent: str = "coder", role: Role = "private") -> NodeAdded:
    return NodeAdded(t_ns=1, node=node, parent=parent, start=start, tokens=tokens, agent=agent, session="s1", role=role)


def evicted(node: int, start: int, tokens: int, role: Role = "private", by: str = "tester") -> NodeEvicted:
    session = "s1" if role == "private" else ""
    return NodeEvicted(
        t_ns=2, node=node, tokens=tokens, start=start, agents=("coder",), role=role, session=session, by_agent=by
    )


def test_a_split_keeps_tokens_owners_and_hits():
    state = after(added(1, 0, 0, 100), matched("r1", "coder", "s1", 100, 100, node=1), NodeSplit(
        t_ns=2, node=1, upper=2, upper_tokens=30))  # fmt: skip
    upper, lower = state.nodes[2], state.nodes[1]
    assert (upper.start, upper.tokens, upper.parent, upper.hits) == (0, 30, 0, 1)
    assert (lower.start, lower.tokens, lower.parent, lower.hits) == (30, 70, 2, 1)
    assert state.agents["coder"].resident_tokens == 100


@pytest.mark.parametrize("upper_tokens", [0, 100, 500, -3])
def test_an_impossible_split_is_odd_and_changes_nothing(upper_tokens: int):
    state = after(added(1, 0, 0, 100), NodeSplit(t_ns=2, node=1, upper=2, upper_tokens=upper_tokens))
    assert (list(state.nodes), resident_tokens(state), state.totals.oddities) == ([1], 100, 1)


def test_owners_each_count_a_shared_node():
    state = after(added(1, 0, 0, 100), NodeOwned(t_ns=2, node=1, agents=("coder", "tester"), role="shared"))
    assert {name: stats.resident_tokens for name, stats in state.agents.items()} == {"coder": 100, "tester": 100}
    assert resident_tokens(state) == 100


def test_anchor_residency_follows_the_anchors_length():
    state = after(added(1, 0, 0, 100), added(2, 1, 100, 50), AnchorMeasured(t_ns=2, agent="coder", tokens=120))
    assert state.agents["coder"].anchor_resident_tokens == 120
    assert not after(AnchorMeasured(t_ns=2, agent="coder", tokens=0), state=state).agents["coder"].anchor_tokens
    after(AnchorMeasured(t_ns=3, agent="coder", tokens=90), state=state)
    assert state.agents["coder"].anchor_resident_tokens == 90
    after(evicted(2, 100, 50), evicted(1, 0, 100), state=state)
    assert state.agents["coder"].anchor_resident_tokens == 0


def test_a_match_marks_the_path_as_used():
    state = after(added(1, 0, 0, 10), added(2, 1, 10, 5), added(3, 1, 10, 5))
    after(matched("r1", "coder", "s1", 20, 15, t_ns=9, node=2), state=state)
    assert {node: (view.last_use_ns, view.hits) for node, view in state.nodes.items()} == {
        1: (9, 1),
        2: (9, 1),
        3: (1, 0),
    }


def test_an_eviction_hurts_when_its_owner_needs_it_again_and_only_once():
    state = after(evicted(1, 50, 30), matched("r1", "coder", "s1", 70, 50), matched("r2", "coder", "s1", 70, 50))
    assert (state.totals.evictions_that_hurt, state.totals.hurt_tokens) == (1, 20)
    assert state.agents["coder"].evicted_by == {"tester": 1}
    assert (state.requests["r1"].hurt_by, state.requests["r2"].hurt_by) == ("tester", "")


@pytest.mark.parametrize(
    "later",
    [
        matched("r", "coder", "s2", 200, 50),
        matched("r", "tester", "s1", 200, 50),
        matched("r", "coder", "s1", 50, 50),
        matched("r", "coder", "s1", 200, 80),
        matched("r", "coder", "s1", 200, 50, warm=True),
        matched("r", "coder", "s1", 200, 50, base_rid="r0", base_tokens=40),
    ],
    ids=["other session", "other agent", "ends before", "still cached", "warm-up", "new text"],
)
def test_private_history_does_not_hurt_when_nobody_missed_it(later: PrefixMatched):
    assert after(evicted(1, 50, 30), later).totals.evictions_that_hurt == 0


def test_a_lost_anchor_hurts_any_session_of_its_agent():
    state = after(evicted(1, 0, 30, role="anchor", by=""), matched("r1", "coder", "s9", 200, 0))
    assert state.agents["coder"].evicted_by == {"allocation": 1}


def test_a_shared_ghost_hurts_once_for_all_its_owners():
    event = NodeEvicted(
        t_ns=2, node=5, tokens=30, start=0, agents=("coder", "tester"), role="shared", by_agent="critic"
    )
    state = after(event, matched("r1", "coder", "s1", 99, 0), matched("r2", "tester", "s1", 99, 0))
    assert state.totals.evictions_that_hurt == 1
    assert state.ghosts == {}


def test_a_warm_up_lays_the_ghosts_it_repairs():
    state = after(
        evicted(1, 0, 30, role="anchor"),
        matched("w", "coder", "", 30, 0, warm=True),
        matched("r", "coder", "s1", 90, 0),
    )
    assert (state.totals.evictions_that_hurt, state.totals.warmups, state.totals.warm_tokens) == (0, 1, 30)
    assert state.agents["coder"].dispatches == 1


def test_a_streamed_request_is_joined_over_both_streams():
    state = after(
        RequestArrived(t_ns=1 * SECOND, rid="r1", agent="coder", session="s1", declared=True),
        matched("r1", "coder", "s1", 100, 60, t_ns=2 * SECOND),
        FirstTokenSent(t_ns=3 * SECOND, rid="r1", ttft_s=2.0),
    )
    assert state.agents["coder"].running == 1
    done = RequestFinished(
        t_ns=4 * SECOND, rid="r1", agent="coder", session="s1", status=200, finish="stop", latency_s=3.0, ttft_s=2.0
    )
    after(done, done, state=state)
    request, stats = state.requests["r1"], state.agents["coder"]
    assert (request.cached_tokens, request.ttft_s, request.latency_s, request.finish) == (60, 2.0, 3.0, "stop")
    assert (stats.running, stats.ttft_recent_s, stats.declared, state.totals.oddities) == (0, [2.0], True, 1)


def test_without_streaming_the_first_token_is_when_prefill_ended():
    state = after(
        RequestArrived(t_ns=1 * SECOND, rid="r1", agent="coder", session="s1"),
        PrefixInserted(t_ns=3 * SECOND // 2, rid="r1", phase="prompt", total_tokens=10, new_tokens=10),
        PrefixInserted(t_ns=2 * SECOND, rid="r1", phase="finish", total_tokens=12, new_tokens=2),
        RequestFinished(
            t_ns=3 * SECOND, rid="r1", agent="coder", session="s1", status=200, finish="stop", latency_s=2.0
        ),
    )
    assert state.requests["r1"].ttft_s == 0.5
    assert state.totals.inserted_tokens == 12


def test_refusals_and_errors_are_counted():
    state = after(
        RequestRefused(t_ns=1, rid="r1", agent="coder", status=403, reason="quarantined"),
        RequestFinished(t_ns=2, rid="r2", agent="coder", session="s", status=502, finish="error", latency_s=1.0),
    )
    assert (state.totals.refused, state.agents["coder"].errors, state.requests["r1"].status) == (1, 2, 403)


def test_transitions_are_per_session_and_without_warm_ups():
    state = after(
        matched("1", "planner", "s1", 9, 0),
        matched("2", "critic", "s2", 9, 0),
        matched("3", "coder", "s1", 9, 0, warm=True),
        matched("4", "tester", "s1", 9, 0),
        SessionEnded(t_ns=5, session="s1"),
        matched("5", "coder", "s1", 9, 0),
    )
    assert state.transitions == {"planner": {"tester": 1}}
    assert state.session_agent == {"s2": "critic", "s1": "coder"}


def test_a_session_that_ended_leaves_no_ghosts_but_its_agents_anchors():
    state = after(evicted(1, 50, 30), evicted(2, 0, 50, role="anchor"), SessionEnded(t_ns=5, session="s1"))
    assert list(state.ghosts) == ["coder"]


def test_a_whole_run_leaves_the_residency_that_the_tree_has():
    tree = run(Shape("random", requests=200), "kv_caching", 10_000).tree
    state = after(*tree.events)
    assert resident_tokens(state) == tree.resident_tokens
    assert sum(view.role == "private" for view in state.nodes.values()) > 0
    assert {node: (view.agents, view.role) for node, view in state.nodes.items()} == {
        node: (owned.agents, owned.role) for node, owned in tree.owners.nodes.items()
    }
    assert (state.totals.requests, state.totals.oddities) == (200, 0)
    assert state.totals.evictions_that_hurt > 0


def test_losing_the_engine_empties_the_tree_and_keeps_the_counters():
    state = after(
        EngineStarted(t_ns=1, pid=1, model="tiny", capacity_tokens=1000, page_size=1, policy="lru"),
        added(1, 0, 0, 100),
        evicted(9, 0, 10, role="anchor"),
        matched("r", "coder", "s1", 100, 0, node=1),
        EngineLoadSampled(t_ns=2, running=3, waiting=1, used_tokens=100, evictable_tokens=0, capacity_tokens=1000),
        EngineLost(t_ns=3, reason="killed", retry_in_s=1.0),
    )
    assert (state.engine_up, state.engine_detail, state.nodes, state.ghosts) == (False, "killed", {}, {})
    assert (state.used_tokens, state.running) == (0, 0)
    assert (state.agents["coder"].resident_tokens, state.agents["coder"].dispatches) == (0, 1)
    after(EngineStarted(t_ns=4, pid=2, model="tiny", capacity_tokens=1000, page_size=1, policy="lru"), state=state)
    assert (state.engine_up, state.totals.engine_starts, state.policies) == (True, 2, {"lru": True})


def test_switches_tunables_and_actions_show():
    def acted(kind: ActionKind, **more: Any) -> ActionTaken:
        return ActionTaken(t_ns=SECOND, id="1", kind=kind, **more)

    state = after(
        added(1, 0, 0, 10),
        PolicySwitched(t_ns=1, policy="kv_caching", enabled=True),
        TunableChanged(t_ns=1, policy="kv_caching", name="turnover", value=3),
        acted("pin", node=1),
        acted("pin", agent="coder"),
        acted("quarantine", agent="coder"),
        acted("boost", agent="coder", amount=2.0, ttl_s=5),
        acted("pin", agent="tester", ok=False),
        EventsDropped(t_ns=1, count=4),
        AgentSeen(t_ns=1, agent="coder", label="You code", fingerprint="f", declared=True, versions=2, claimants=3),
    )
    coder = state.agents["coder"]
    assert (coder.pinned, coder.quarantined, coder.boost, coder.label) == (True, True, 2.0, "You code")
    assert (coder.versions, coder.claimants, state.nodes[1].pinned) == (2, 3, True)
    assert "tester" not in state.agents
    assert (state.policies, state.tunables) == ({"kv_caching": True}, {"kv_caching": {"turnover": 3}})
    assert state.totals.dropped_events == 4
    after(
        EngineLoadSampled(t_ns=7 * SECOND, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=9),
        CacheFlushed(t_ns=8 * SECOND),
        state=state,
    )
    assert (coder.boost, coder.resident_tokens) == (0.0, 0)


def sampled(t_ns: int) -> EngineLoadSampled:
    return EngineLoadSampled(t_ns=t_ns, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=9)


def test_a_retain_shows_until_it_has_decayed_or_is_undone():
    def retain(amount: float, ttl_s: float) -> ActionTaken:
        return ActionTaken(t_ns=SECOND, id="1", kind="retain", agent="coder", amount=amount, ttl_s=ttl_s)

    state = after(retain(500, 10))
    coder = state.agents["coder"]
    assert (coder.retain_tokens, coder.retain_until_ns) == (500, 61 * SECOND)
    after(sampled(60 * SECOND), state=state)
    assert coder.retain_tokens == 500
    after(sampled(61 * SECOND), state=state)
    assert (coder.retain_tokens, coder.retain_until_ns) == (0, 0)
    after(retain(500, 10), retain(-1, 10), state=state)
    assert (coder.retain_tokens, coder.retain_until_ns) == (0, 0)


def test_what_a_retain_leaves_open_is_the_operators_to_say():
    state = after(
        TunableChanged(t_ns=1, policy="operator", name="half_life_s", value=2.0),
        ActionTaken(t_ns=SECOND, id="1", kind="retain", agent="coder"),
        ActionTaken(t_ns=SECOND, id="2", kind="boost", agent="coder", amount=1.0),
    )
    coder = state.agents["coder"]
    assert (coder.retain_tokens, coder.retain_until_ns, coder.boost_until_ns) == (4096, 13 * SECOND, 3 * SECOND)


def test_a_fresh_engine_knows_of_no_retain():
    state = after(
        ActionTaken(t_ns=1, id="1", kind="retain", agent="coder", amount=9, ttl_s=60),
        EngineStarted(t_ns=4, pid=2, model="tiny", capacity_tokens=1000, page_size=1, policy="lru"),
    )
    assert state.agents["coder"].retain_tokens == 0
