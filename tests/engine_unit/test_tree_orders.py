"""Orders on the tree: what they touch, what they refuse, and that each leaves one ActionTaken behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_cache_events import real, rebuild

from radixdeck.daemon.engine.control import Control
from radixdeck.daemon.engine.protocol import Act, Answer, Observe, Order, Snapshot, SwitchPolicy, Tune
from radixdeck.policies.events import (
    ActionTaken,
    AnchorMeasured,
    EngineStarted,
    NextAgentHinted,
    NodeEvicted,
    PolicyFailed,
    PolicySwitched,
    ToolCalled,
    TunableChanged,
)
from radixdeck.policies.primitives import Action

Maker = Callable[..., Any]
MINE = list(range(3, 103))


def told(bench: Any, order: Order) -> Answer:
    return Control(bench.cache, bench.observer).obey(order)


def act(bench: Any, kind: Any, by: str = "operator", **what: Any) -> Answer:
    return told(bench, Act("1", Action(kind, **what), by))


@pytest.fixture
def bench(ours: Maker) -> Any:
    bench = ours(600)
    bench.request(MINE, 3, agent="a", session="s", anchor=80)
    bench.request([*MINE[:50], *range(2000, 2050)], 3, agent="b", session="t", anchor=50)
    return bench


def nodes_of(bench: Any, agent: str) -> dict[int, Any]:
    return {node: owned for node, owned in bench.observer.ownership.nodes.items() if owned.agents == (agent,)}


def test_evicting_an_agent_takes_its_own_nodes_and_leaves_shared_ones(bench: Any) -> None:
    before = sum(owned.tokens for owned in nodes_of(bench, "a").values())
    answer = act(bench, "evict", agent="a")
    assert (answer.ok, answer.tokens) == (True, before)
    assert not nodes_of(bench, "a")
    assert {event.cause for event in bench.kinds(NodeEvicted)} == {"operator"}
    assert all((event.by_rid, event.by_agent) == ("", "") for event in bench.kinds(NodeEvicted))
    (taken,) = bench.kinds(ActionTaken)
    assert (taken.kind, taken.agent, taken.ok, taken.tokens) == ("evict", "a", True, before)
    assert bench.request(MINE, 3, agent="a", session="s") == 50
    bench.cache.sanity_check()


def test_evicting_a_node_takes_all_below_it(bench: Any) -> None:
    (top,) = [node for node, owned in bench.observer.ownership.nodes.items() if owned.start == 0]
    resident = sum(owned.tokens for owned in bench.observer.ownership.nodes.values())
    answer = act(bench, "evict", by="kv_caching", node=top)
    assert answer.tokens == resident
    assert bench.cache.evictable_size() == 0
    assert {event.cause for event in bench.kinds(NodeEvicted)} == {"policy"}


def test_what_a_running_request_holds_stays(bench: Any) -> None:
    running = bench.start(MINE, agent="a", session="s", anchor=80)
    act(bench, "evict", agent="a")
    assert all(owned.end <= 100 for owned in nodes_of(bench, "a").values())
    assert sum(owned.tokens for owned in nodes_of(bench, "a").values()) == 50
    bench.finish(running)
    assert bench.request(MINE, agent="a", session="s") == 99


@pytest.mark.parametrize("how", ["agent", "node"])
def test_a_pin_holds_until_nothing_else_is_left_and_can_be_undone(ours: Maker, how: str) -> None:
    bench = ours(400)
    bench.request(MINE, 1, agent="a", session="s", anchor=100)
    (node,) = bench.observer.ownership.nodes
    target = {"agent": "a"} if how == "agent" else {"node": node}
    answer = act(bench, "pin", **target)
    assert (answer.ok, answer.tokens) == (True, 100)
    for turn in range(10):
        bench.request([1000 + turn * 100 + step for step in range(90)], 1, agent="b", session=f"{turn}")
    assert bench.request(MINE, 1, agent="a", session="s", anchor=100) == 99
    assert act(bench, "unpin", **target).ok
    for turn in range(10, 20):
        bench.request([1000 + turn * 100 + step for step in range(90)], 1, agent="b", session=f"{turn}")
    assert bench.request(MINE, 1, agent="a", session="s", anchor=100) == 0


def crowded(bench: Any, first: int = 0) -> None:
    """Others ask for more than fits."""
    for turn in range(first, first + 30):
        bench.request([1000 + turn * 100 + step for step in range(90)], 1, agent="z", session=f"{turn}")


@pytest.mark.parametrize("workers", [1, 8, 9, 20])
def test_a_pin_of_one_agent_holds_what_many_share(ours: Maker, workers: int) -> None:
    bench = ours(600)
    for number in range(workers):
        own = [2000 + number * 50 + step for step in range(10)]
        bench.request([*MINE, *own], 1, agent=f"w{number}", session=f"s{number}", anchor=100)
    answer = act(bench, "pin", agent="w0")
    assert (answer.ok, answer.tokens) == (True, 100)
    crowded(bench)
    assert bench.request(MINE, 1, agent="w0", session="new", anchor=100) == 99
    bench.cache.sanity_check()


@pytest.mark.parametrize("policy", ["lru", "slru", "ttl_pinning", "kv_caching"])
def test_a_pin_holds_the_anchor_of_an_agent_with_one_session(ours: Maker, policy: str) -> None:
    """Whether the policy keeps anchors apart or not."""
    bench = ours(600, policies=[policy])
    bench.request([*MINE, *range(2000, 2040)], 1, agent="a", session="s", anchor=100)
    answer = act(bench, "pin", agent="a")
    assert (answer.ok, answer.tokens) == (True, 100)
    crowded(bench)
    assert bench.request(MINE, 1, agent="a", session="new", anchor=100) == 99
    bench.cache.sanity_check()


def test_no_pin_of_a_node_is_given_up_for_another_order(ours: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.policies.tree.ownership.MAX_TOUCHED", 3)
    monkeypatch.setattr("radixdeck.daemon.engine.control.MAX_TOUCHED", 3)
    bench = ours(600)
    control = Control(bench.cache, bench.observer)
    for number in range(5):
        bench.request([2000 + number * 50 + step for step in range(40)], 1, agent="a", session=f"s{number}")
    first, second, third, fourth, fifth = bench.observer.ownership.nodes
    said = [("pin", first), ("boost", second), ("pin", third), ("boost", fourth), ("pin", second), ("pin", first)]
    assert all(control.obey(Act("1", Action(kind, node=node, amount=1.0))).ok for kind, node in said)
    for kind in ("pin", "boost"):
        refused = control.obey(Act("1", Action(kind, node=fifth, amount=1.0)))
        assert (refused.ok, refused.detail) == (False, "3 nodes are pinned already: unpin one first, or pin agents")
    crowded(bench)
    assert bench.observer.ownership.nodes.keys() >= {first, second, third}
    assert not bench.observer.ownership.nodes.keys() & {fourth, fifth}
    assert control.obey(Act("1", Action("unpin", node=first))).ok
    (other, *_) = bench.observer.ownership.nodes.keys() - {first, second, third}
    assert control.obey(Act("1", Action("pin", node=other))).ok


def test_what_is_pinned_stays_when_its_agent_is_evicted(bench: Any) -> None:
    control = Control(bench.cache, bench.observer)
    node, owned = next(iter(nodes_of(bench, "a").items()))
    assert control.obey(Act("1", Action("pin", node=node))).ok
    before = sum(one.tokens for one in nodes_of(bench, "a").values())
    answer = control.obey(Act("2", Action("evict", agent="a"), "kv_caching"))
    assert (answer.ok, answer.tokens) == (True, before - owned.tokens)
    assert list(nodes_of(bench, "a")) == [node]


def test_a_pin_gives_way_when_the_whole_pool_is_needed(ours: Maker) -> None:
    bench = ours(300)
    bench.request(MINE, 1, agent="a", session="s", anchor=100)
    assert act(bench, "pin", agent="a").ok
    bench.request(list(range(1000, 1290)), 1, agent="b", session="t")
    assert [event.agents for event in bench.kinds(NodeEvicted)][-1] == ("a",)


@pytest.mark.parametrize(
    ("action", "named"),
    [
        (Action("evict", agent="zed"), "zed"),
        (Action("pin", node=12345), "12345"),
        (Action("boost"), "boost needs an agent or a node"),
        (Action("warm", agent="a"), "warm"),
        (Action("quarantine", agent="a"), "quarantine"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(bench: Any, action: Action, named: str) -> None:
    before = real(bench)
    answer = told(bench, Act("7", action))
    assert not answer.ok
    assert named in answer.detail
    assert real(bench) == before
    (taken,) = bench.kinds(ActionTaken)
    assert (taken.id, taken.ok, taken.result) == ("7", False, answer.detail)


def test_policies_are_switched_and_tuned_by_events(bench: Any) -> None:
    assert told(bench, SwitchPolicy("1", "kv_caching", True, "me", "to see")).ok
    assert bench.observer.stream.host.slot_policy("eviction") == "kv_caching"
    assert told(bench, Tune("2", "operator", "half_life_s", 60.0)).ok
    assert [event.policy for event in bench.kinds(PolicySwitched)] == ["kv_caching", "lru"]
    assert [event.value for event in bench.kinds(TunableChanged)] == [60.0]


@pytest.mark.parametrize(
    ("order", "named"),
    [
        (SwitchPolicy("1", "magic", True), "magic"),
        (SwitchPolicy("1", "operator", False), "operator"),
        (Tune("1", "lru", "speed", 1.0), "speed"),
        (Tune("1", "operator", "half_life_s", -5.0), "half_life_s"),
        (Observe("1", [EngineStarted(t_ns=0, pid=1, model="", capacity_tokens=1, page_size=1, policy="")]), "EngineS"),
    ],
)
def test_wrong_orders_are_refused_by_name_and_change_nothing(bench: Any, order: Order, named: str) -> None:
    before = len(bench.events)
    answer = told(bench, order)
    assert not answer.ok
    assert named in answer.detail
    assert len(bench.events) == before


def test_facts_of_the_daemon_come_back_stamped(bench: Any) -> None:
    facts = [ToolCalled(t_ns=1, rid="r1", agent="a", session="s"), AnchorMeasured(t_ns=1, agent="b", tokens=44)]
    assert told(bench, Observe("1", facts)).ok
    tool, anchor = bench.events[-2:]
    assert (tool.rid, anchor.tokens) == ("r1", 44)
    assert tool.t_ns > bench.events[-3].t_ns
    assert bench.observer.ownership.anchors["b"] == 44


def test_a_snapshot_says_the_whole_tree_and_the_pins_again(bench: Any) -> None:
    control = Control(bench.cache, bench.observer)
    node = next(iter(nodes_of(bench, "a")))
    assert control.obey(Act("pin", Action("pin", node=node))).ok
    start = len(bench.events)
    answer = control.obey(Snapshot("1"))
    assert answer.tokens == bench.cache.evictable_size()
    assert rebuild(bench.events[start:]) == real(bench)
    assert (bench.events[-1].kind, bench.events[-1].node) == ("pin", node)


def test_a_failing_order_is_an_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("no eviction today")

    monkeypatch.setattr(bench.cache, "evict", fail)
    answer = act(bench, "evict", agent="a")
    assert "no eviction today" in answer.detail
    assert bench.observer.forced is None
    assert bench.observer.cause == "allocation"


def test_a_doorkeeper_that_failed_and_a_hint_of_who_comes_next_are_facts(bench: Any) -> None:
    facts = [
        PolicyFailed(t_ns=1, policy="fairness", call="admit", error="KeyError: 'a'"),
        NextAgentHinted(t_ns=1, session="s", agent="b", rid="r"),
    ]
    assert told(bench, Observe("1", facts)) == Answer("1", True)
    (failed,), (hinted,) = bench.kinds(PolicyFailed), bench.kinds(NextAgentHinted)
    assert (failed.policy, failed.call, failed.error) == ("fairness", "admit", "KeyError: 'a'")
    assert (hinted.session, hinted.agent, hinted.t_ns > 1) == ("s", "b", True)
