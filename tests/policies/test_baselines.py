"""The baselines against their published formulas: streams small enough to work the numbers out by hand."""

from __future__ import annotations

from math import exp

import pytest

from radixdeck.policies.baselines.cachesage import CacheSage
from radixdeck.policies.baselines.cachescout import CacheScout, CacheScoutSessions
from radixdeck.policies.baselines.frequency import Lfu, Slru
from radixdeck.policies.baselines.kvflow import KvFlow
from radixdeck.policies.baselines.protect_shared import ProtectShared
from radixdeck.policies.baselines.ttl_pinning import TtlPinning
from radixdeck.policies.events import (
    AnswerGiven,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
    NodeSplit,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
)
from radixdeck.policies.primitives import Policy, Subject

TOKENS = 160
"""Tokens of each node: 10 of CacheSage's blocks."""


def anchor(*agents: str) -> Subject:
    return Subject("shared" if len(agents) > 1 else "anchor", agents)


def matched(rid: str, agent: str, session: str = "s", at_s: float = 0.0, tokens: int = TOKENS) -> PrefixMatched:
    return PrefixMatched(
        t_ns=int(at_s * 1e9), rid=rid, agent=agent, session=session, prompt_tokens=tokens, cached_tokens=0)  # fmt: skip


def added(node: int, agent: str, parent: int = 0) -> NodeAdded:
    return NodeAdded(t_ns=0, node=node, parent=parent, start=0, tokens=TOKENS, agent=agent, role="anchor")


def inserted(rid: str, node: int, phase: str = "prompt", total: int = TOKENS) -> PrefixInserted:
    kind = "finish" if phase == "finish" else "prompt"
    return PrefixInserted(t_ns=0, rid=rid, phase=kind, total_tokens=total, new_tokens=TOKENS, node=node)


def evicted(node: int) -> NodeEvicted:
    return NodeEvicted(t_ns=0, node=node, tokens=TOKENS, start=0)


def walked(policy: Policy, agents: str, session: str = "s", first_node: int = 1) -> None:
    """Each letter is a dispatch of that agent in the session, which adds a node of its own."""
    for node, agent in enumerate(agents, first_node):
        tell(policy, matched(f"r{node}", agent, session), added(node, agent), inserted(f"r{node}", node))


def tell(policy: Policy, *events: EngineEvent) -> None:
    for event in events:
        policy.observe(event)


def key(policy: Policy, subject: Subject, now_s: float = 0.0) -> float:
    return policy.score(subject, now_s).key


# ---- LFU and SLRU ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "keys"), [(Lfu(), (2.0, 1.0, 0.0)), (Slru(), (1.0, 0.0, 0.0))])
def test_hits_rise_after_prefill_and_at_the_finish(policy: Policy, keys: tuple[float, ...]):
    walked(policy, "ab")
    tell(policy, inserted("r1", 1, "finish"))
    assert (key(policy, anchor("a")), key(policy, anchor("b")), key(policy, anchor("c"))) == keys


def test_a_request_hits_its_whole_path_and_the_leaf_used_longest_ago_counts():
    policy = Lfu()
    tell(policy, added(1, "a"), added(2, "a", parent=1), added(3, "a", parent=1))
    tell(policy, matched("r", "a"), inserted("r", 2), inserted("r", 3), inserted("r", 3))
    assert key(policy, anchor("a")) == 1
    tell(policy, evicted(2))
    assert key(policy, anchor("a")) == 2
    tell(policy, evicted(3))
    assert key(policy, anchor("a")) == 3


def test_the_upper_part_of_a_split_node_inherits_its_hits():
    policy = Lfu()
    walked(policy, "a")
    tell(policy, NodeSplit(t_ns=0, node=1, upper=2, upper_tokens=100), inserted("r1", 2), evicted(1))
    assert key(policy, anchor("a")) == 2


def test_chunks_of_one_prompt_are_one_hit():
    policy = Lfu()
    tell(policy, EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=9000, page_size=16, policy="lfu"))
    tell(policy, matched("r", "a", tokens=5000), added(1, "a"))
    tell(policy, inserted("r", 1, total=2048), inserted("r", 1, total=4096), inserted("r", 1, total=4992))
    assert key(policy, anchor("a")) == 1


def test_a_snapshot_forgets_no_hits_and_a_new_engine_all():
    policy = Lfu()
    walked(policy, "aa")
    tell(policy, inserted("r1", 1), CacheFlushed(t_ns=0), added(1, "a"))
    assert key(policy, anchor("a")) == 2
    tell(policy, CacheFlushed(t_ns=0))
    assert key(policy, anchor("a")) == 0
    started = EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=9000, page_size=16, policy="lfu")
    tell(policy, started, added(1, "a"))
    assert policy.score(anchor("a"), 0.0).key == 0


def test_a_node_that_changes_hands_is_scored_with_its_new_owners_and_a_closed_session_with_its_agents():
    policy = Lfu()
    walked(policy, "a")
    tell(policy, NodeOwned(t_ns=0, node=1, agents=("a",), role="private", session="s"))
    assert (key(policy, anchor("a")), key(policy, Subject("private", ("a",), "s"))) == (0, 1)
    tell(policy, SessionEnded(t_ns=0, session="s"))
    assert (key(policy, Subject("private", ("a",), "s")), key(policy, Subject("private", ("a",)))) == (0, 1)


# ---- CacheSage -------------------------------------------------------------------------------------------------------


def test_cachesage_adds_the_probability_within_three_steps_and_recency_in_blocks():
    """a goes to b or c half the time each, both return to a; a is current. b comes at step 1 (0.5), or at step 3 after
    c and a (0.25); a itself at step 2."""
    policy = CacheSage()
    walked(policy, "abaca")
    assert key(policy, anchor("a")) == pytest.approx(4 * 1.0 + exp(-0.1 * 40))
    assert key(policy, anchor("b")) == pytest.approx(4 * 0.75 + exp(-0.1 * 30))
    assert key(policy, anchor("c")) == pytest.approx(4 * 0.75 + exp(-0.1 * 10))
    assert key(policy, anchor("d")) == 0.0


def test_cachesage_has_one_current_agent_and_takes_no_step_from_an_agent_to_itself():
    policy = CacheSage()
    walked(policy, "aab", session="s")
    walked(policy, "a", session="t", first_node=4)
    assert policy.score(anchor("b"), 0.0).parts["p_fires"] == 1.0


def test_cachesage_leaves_a_block_with_the_agent_that_cached_it():
    policy = CacheSage()
    walked(policy, "abab")
    tell(policy, added(9, "c"), matched("r9", "a"), inserted("r9", 9))
    assert policy.score(anchor("c"), 0.0).parts["p_fires"] == 0.0


# ---- CacheScout ------------------------------------------------------------------------------------------------------


def test_cachescout_multiplies_survival_and_recency():
    """On the ring a b c d with a current, d is 3 hops of at most 6 away, b is 1; d was used a dispatch ago, b three."""
    policy = CacheScout()
    walked(policy, "abcda")
    assert key(policy, anchor("d")) == pytest.approx((0.5 + 0.01) * (exp(-0.005 * 1) + 0.01))
    assert key(policy, anchor("b")) == pytest.approx((5 / 6 + 0.01) * (exp(-0.005 * 3) + 0.01))


def test_cachescout_follows_only_edges_above_the_threshold():
    """a went to c once in eleven times: (1 + 0.01) / (11 + 0.03) is less than 0.1."""
    policy = CacheScout()
    walked(policy, "ab" * 10 + "aca")
    assert policy.score(anchor("b"), 0.0).parts["p_survival"] == pytest.approx(5 / 6)
    assert policy.score(anchor("c"), 0.0).parts["p_survival"] == 0.0


def test_cachescout_gives_a_block_to_the_agent_that_touched_it_last():
    policy = CacheScout()
    walked(policy, "abcda")
    tell(policy, added(9, "x"), matched("r9", "a"), inserted("r9", 9))
    assert policy.score(anchor("x"), 0.0).parts["p_survival"] == 1.0


def test_cachescout_per_session_averages_over_sessions_and_spares_no_history():
    """On the ring a b c d one session is at a and one at b: d is 3 hops from one and 2 from the other."""
    policy = CacheScoutSessions()
    walked(policy, "abcda", session="s")
    walked(policy, "ab", session="t", first_node=6)
    assert policy.score(anchor("d"), 0.0).parts["p_survival"] == pytest.approx((3 / 6 + 4 / 6) / 2)
    tell(policy, NodeOwned(t_ns=0, node=4, agents=("d",), role="private", session="s"))
    assert policy.score(Subject("private", ("d",), "s"), 0.0).parts["p_survival"] == 0.0


def test_interleaved_sessions_mislead_the_global_current_agent_only():
    """s alternates a and b, t alternates c and d, turn by turn: b never follows c within a session."""
    alone, together = CacheScoutSessions(), CacheScout()
    for turn, (one, other) in enumerate(["ac", "bd"] * 4):
        for policy in (alone, together):
            walked(policy, one, "s", 2 * turn + 1)
            walked(policy, other, "t", 2 * turn + 2)
    assert alone.score(anchor("a"), 0.0).parts["p_survival"] == pytest.approx((5 / 6 + 0) / 2)
    assert together.score(anchor("b"), 0.0).parts["p_survival"] == pytest.approx(1 - 3 / 6)


# ---- KVFlow and protection -------------------------------------------------------------------------------------------


def test_kvflow_ranks_by_steps_on_the_graph_it_is_given():
    policy = KvFlow(graph={"a": ["b"], "b": ["c"], "c": []})
    walked(policy, "a")
    keys = [key(policy, anchor(name)) for name in "abcd"]
    assert keys == [2.0, 2 - 1 / 16, 2 - 2 / 16, 1.0]
    assert key(policy, anchor("a", "c")) == key(policy, Subject("shared", ("*",))) == 2.0
    assert key(policy, Subject("private", ("a",))) == key(policy, Subject("unowned")) == 0.0


def test_kvflow_counts_an_executed_agent_by_its_next_execution_and_takes_the_nearest_workflow():
    policy = KvFlow(graph={"a": ["b"], "b": ["c"], "c": []})
    walked(policy, "a")
    tell(policy, inserted("r1", 1, "finish"))
    assert [key(policy, anchor(name)) for name in "abc"] == [1.0, 2 - 1 / 16, 2 - 2 / 16]
    walked(policy, "b", session="t", first_node=2)
    assert [key(policy, anchor(name)) for name in "abc"] == [1.0, 2.0, 2 - 1 / 16]
    tell(policy, SessionEnded(t_ns=0, session="t"))
    assert key(policy, anchor("b")) == 2 - 1 / 16


def test_kvflow_holds_no_agent_for_a_request_that_was_given_up():
    policy = KvFlow(graph={"a": ["b"], "b": ["c"], "c": []})
    walked(policy, "a")
    tell(policy, AnswerGiven(t_ns=0, rid="r1", agent="a", session="s", finish="abort"))
    assert [key(policy, anchor(name)) for name in "abc"] == [1.0, 2 - 1 / 16, 2 - 2 / 16]


def test_kvflow_ranks_histories_by_the_steps_of_their_own_session_below_all_anchors():
    policy = KvFlow(graph={"a": ["b"], "b": ["c"], "c": []})
    walked(policy, "a")
    walked(policy, "b", session="t", first_node=2)
    histories = [Subject("private", ("c",), session) for session in "stu"]
    assert [key(policy, subject) for subject in histories] == [1 - 2 / 16, 1 - 1 / 16, 0.0]
    policy.tunables.set("rank_histories", 0)
    assert [key(policy, subject) for subject in histories] == [0.0, 0.0, 0.0]


def test_kvflow_learns_the_graph_where_none_is_given():
    policy = KvFlow()
    walked(policy, "abca")
    tell(policy, *(inserted(f"r{number}", number, "finish") for number in range(1, 5)))
    assert [key(policy, anchor(name)) for name in "abc"] == [2 - 3 / 16, 2 - 1 / 16, 2 - 2 / 16]


def test_protection_puts_what_is_shared_above_what_is_not():
    policy = ProtectShared()
    subjects = [anchor("a"), anchor("a", "b"), Subject("private", ("a",), "s"), Subject("unowned")]
    assert [key(policy, subject) for subject in subjects] == [1, 1, 0, 0]


# ---- TTL -------------------------------------------------------------------------------------------------------------


def two_seconds() -> TtlPinning:
    """A return in time saves 2 s, and an unknown tool has as much to live."""
    policy = TtlPinning()
    for name in ("benefit_s", "first_ttl_s"):
        policy.tunables.set(name, 2.0)
    return policy


def called(at_s: float, tool: str = "search") -> ToolCalled:
    return ToolCalled(t_ns=int(at_s * 1e9), rid="r", agent="a", session="s", tools=(tool,))


def used_tool(policy: Policy, tool: str, *durations_s: float) -> None:
    for number, duration_s in enumerate(durations_s):
        tell(policy, called(100.0 * number, tool), matched("r", "a", at_s=100.0 * number + duration_s))


def test_the_time_to_live_is_the_duration_that_pays_best():
    """Waiting 1 s meets 4 of 5 returns, 0.8 * 2 - 1 > 0; waiting 9 s meets all, 2 - 9 < 0. Of a tool that is not known
    the first time-to-live holds."""
    policy = two_seconds()
    used_tool(policy, "search", 1.0, 9.0, 1.0, 1.0, 1.0)
    used_tool(policy, "compile", 9.0, 9.0, 9.0, 9.0, 9.0)
    assert [policy.ttl_s((tool,)) for tool in ("search", "compile", "unknown")] == [1.0, 0.0, 2.0]


def test_a_session_is_pinned_until_its_time_is_over_or_it_returns():
    policy = two_seconds()
    mine, others = Subject("private", ("a",), "s"), Subject("private", ("b",), "s")
    tell(policy, called(10.0))
    assert [key(policy, subject, 11.9) for subject in (mine, others, anchor("a"))] == [1, 0, 0]
    assert policy.score(mine, 11.5).parts["ttl_left_s"] == pytest.approx(0.5)
    assert key(policy, mine, 12.1) == 0
    tell(policy, matched("r", "a", at_s=11.0))
    assert key(policy, mine, 11.1) == 0
    tell(policy, called(20.0), SessionEnded(t_ns=0, session="s"))
    assert key(policy, mine, 20.1) == 0
