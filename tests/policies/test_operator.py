"""The operator as a policy: what was said holds, expires, decays, and can be undone."""

from __future__ import annotations

from typing import Any

import pytest

from radixdeck.policies.events import (
    ActionKind,
    ActionTaken,
    CacheFlushed,
    EngineStarted,
    NodeAdded,
    NodeEvicted,
    NodeOwned,
)
from radixdeck.policies.operator import PIN_KEY, Operator
from radixdeck.policies.primitives import Subject

ANCHOR = Subject("anchor", ("coder",))
HISTORY = Subject("private", ("coder",), "s1")
NODE = Subject("private", ("coder",), "s1", node=7)


def said(operator: Operator, kind: ActionKind, at_s: float = 0.0, **fields: Any) -> Operator:
    operator.observe(ActionTaken(t_ns=int(at_s * 1e9), id="1", kind=kind, **fields))
    return operator


def added(node: int, tokens: int, agent: str = "coder") -> NodeAdded:
    return NodeAdded(t_ns=0, node=node, parent=0, start=0, tokens=tokens, agent=agent, role="anchor")


def test_an_agents_pin_holds_what_its_sessions_share_and_is_undone():
    operator = said(Operator(), "pin", agent="coder")
    assert operator.score(ANCHOR, 1.0).parts == {"pin": PIN_KEY}
    assert operator.score(Subject("shared", ("coder", "tester")), 1.0).key == PIN_KEY
    assert operator.score(HISTORY, 1.0).key == 0.0
    assert said(operator, "unpin", agent="coder").score(ANCHOR, 1.0).key == 0.0


def test_a_nodes_pin_holds_the_node_until_it_leaves():
    operator = Operator()
    operator.observe(added(7, 10))
    said(operator, "pin", node=7)
    assert operator.score(NODE, 1.0).key == PIN_KEY
    assert operator.score(HISTORY, 1.0).key == 0.0
    operator.observe(CacheFlushed(t_ns=1))
    operator.observe(added(7, 10))
    assert operator.score(NODE, 1.0).key == PIN_KEY
    operator.observe(NodeEvicted(t_ns=2, node=7, tokens=10, start=0))
    assert operator.score(NODE, 1.0).key == 0.0


def test_a_boost_ends_and_can_be_taken_back():
    operator = said(Operator(), "boost", at_s=10.0, agent="coder", amount=2.5, ttl_s=5.0)
    assert operator.score(HISTORY, 14.9).parts == {"boost": 2.5}
    assert operator.score(HISTORY, 15.0).key == 0.0
    assert said(operator, "boost", at_s=11.0, agent="coder", amount=0.0).score(HISTORY, 12.0).key == 0.0


def test_retain_decays_within_its_budget():
    operator = Operator()
    operator.observe(added(1, 600))
    said(operator, "retain", at_s=0.0, agent="coder", amount=1000, ttl_s=10.0)
    full = operator.tunables["retain_bias"]
    assert operator.score(ANCHOR, 0.0).key == pytest.approx(full)
    assert operator.score(ANCHOR, 10.0).key == pytest.approx(full / 2)
    assert operator.score(ANCHOR, 1000.0).key == 0.0
    operator.observe(added(2, 600))
    assert operator.score(ANCHOR, 0.0).key == 0.0
    operator.observe(NodeOwned(t_ns=1, node=2, agents=("tester",), role="anchor"))
    assert operator.score(ANCHOR, 0.0).key == pytest.approx(full)
    assert said(operator, "retain", agent="coder", amount=-1).score(ANCHOR, 0.0).key == 0.0


def test_what_ran_out_is_forgotten_and_costs_nothing_any_more():
    operator = said(Operator(), "boost", at_s=0.0, agent="coder", amount=1.0, ttl_s=10.0)
    said(operator, "retain", at_s=0.0, agent="coder", amount=1000, ttl_s=10.0)
    operator.observe(NodeAdded(t_ns=59 * 10**9, node=1, parent=0, start=0, tokens=10, agent="coder", role="anchor"))
    assert operator.scores([ANCHOR], 59.0) == [pytest.approx(operator.tunables["retain_bias"] * 2**-5.9)]
    operator.observe(NodeAdded(t_ns=61 * 10**9, node=2, parent=0, start=0, tokens=10, agent="coder", role="anchor"))
    assert operator.scores([ANCHOR], 61.0) == []
    said(operator, "pin", at_s=62.0, agent="coder")
    assert operator.scores([ANCHOR], 62.0) == [PIN_KEY]


def test_a_retain_bears_on_what_too_many_share_to_be_named_and_a_nodes_does_not():
    many = Subject("shared", ("*",))
    assert said(Operator(), "retain", agent="coder").score(many, 0.0).parts.keys() == {"retain"}
    assert said(Operator(), "retain", node=7).score(many, 0.0).key == 0.0
    assert said(Operator(), "pin", agent="coder").score(many, 0.0).parts.keys() == {"pin"}
    assert said(Operator(), "pin", node=7).score(many, 0.0).key == 0.0


def test_resident_tokens_do_not_outlive_the_engine():
    operator = said(Operator(), "retain", agent="coder", amount=1000)
    operator.observe(added(1, 2000))
    assert operator.score(ANCHOR, 0.0).key == 0.0
    operator.observe(EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru"))
    assert operator.score(ANCHOR, 0.0).key > 0.0


def test_refused_actions_and_actions_on_nothing_change_nothing():
    operator = said(Operator(), "pin", agent="coder", ok=False)
    said(operator, "pin")
    assert operator.score(ANCHOR, 1.0).key == 0.0
    assert said(operator, "quarantine", agent="coder").quarantined == {"coder"}
    assert said(operator, "release", agent="coder").quarantined == set()
