"""The rules of who owns a node, one by one."""

from __future__ import annotations

import pytest

from radixdeck.policies.primitives import Subject
from radixdeck.policies.tree.ownership import MAX_AGENTS_NAMED, MAX_LIVE_SESSIONS, Owned, Ownership, Who


def used(table: Ownership, owned: Owned, *who: Who) -> Owned:
    for each in who:
        table.meet(each)
        table.use(owned, each, 1)
    return owned


def node(table: Ownership, *who: Who, start: int = 0, tokens: int = 10) -> Owned:
    owned = table.add(len(table.nodes), start, tokens, Who(), 0)
    return used(table, owned, *who)


def test_nobody_one_session_several_sessions_several_agents() -> None:
    table = Ownership()
    assert node(table).role == "unowned"
    one = node(table, Who("r", "a", "s1"))
    assert (one.role, one.agents, one.session) == ("private", ("a",), "s1")
    assert used(table, one, Who("r", "a", "s2")).role == "anchor"
    assert used(table, one, Who("r", "b", "s2")).role == "shared"


def test_what_ends_within_the_anchor_is_anchor() -> None:
    table = Ownership()
    table.set_anchor("a", 20)
    assert node(table, Who("r", "a", "s1"), start=10).role == "anchor"
    assert node(table, Who("r", "a", "s1"), start=11).role == "private"
    assert node(table, Who("r", "b", "s1"), Who("r", "a", "s1"), start=10).role == "shared"


def test_agents_of_one_conversation_share_its_history_privately() -> None:
    table = Ownership()
    talk = node(table, Who("r", "a", "s"), Who("r", "b", "s"), start=100)
    assert (talk.role, talk.agents) == ("private", ("a", "b"))


def test_a_warm_up_of_an_anchor_belongs_to_no_session_and_that_of_a_path_to_its_own() -> None:
    table = Ownership()
    path = node(table, Who("r", "a", "s1", warm=True))
    assert (path.session, path.role, path.part) == ("s1", "private", "")
    table = Ownership()
    warm = node(table, Who("r", "a", warm=True))
    assert (warm.session, warm.many) == ("", False)
    assert used(table, warm, Who("r", "a", "s1")).role == "private"
    assert table.subject(warm.node) == Subject("private", ("a",), "s1")


def test_a_split_node_inherits_and_may_become_anchor() -> None:
    table = Ownership()
    whole = node(table, Who("r", "a", "s"), tokens=30)
    table.set_anchor("a", 20)
    upper = table.split(whole.node, 99, 20)
    assert table.settle(upper)
    assert not table.settle(whole)
    assert (upper.role, upper.start, upper.tokens) == ("anchor", 0, 20)
    assert (whole.role, whole.start, whole.tokens) == ("private", 20, 10)


def test_subjects_stay_bounded_by_live_sessions_and_named_agents() -> None:
    table = Ownership()
    first = node(table, Who("r", "a", "s0"))
    assert table.subject(first.node) == Subject("private", ("a",), "s0")
    displaced = [table.meet(Who("r", "a", f"s{i}")) for i in range(1, MAX_LIVE_SESSIONS + 1)]
    assert [session for session in displaced if session] == ["s0"]
    assert table.subject(first.node) == Subject("private", ("a",))
    crowd = node(table, *(Who("r", f"a{i}", "s") for i in range(9)))
    assert len(crowd.agents) == 9
    assert table.subject(crowd.node).agents == ("*",)
    used(table, crowd, *(Who("r", f"b{i}", "s") for i in range(MAX_AGENTS_NAMED)))
    assert crowd.agents == ("*",)
    assert crowd.role == "private"


def test_an_ended_session_falls_into_its_agents_subject_and_may_come_back() -> None:
    table = Ownership()
    owned = node(table, Who("r", "a", "s"))
    table.end_session("s")
    assert table.subject(owned.node) == Subject("private", ("a",))
    table.meet(Who("r", "a", "s"))
    assert table.subject(owned.node) == Subject("private", ("a",), "s")


def test_an_anchor_is_learned_from_what_sessions_share_until_it_is_known_exactly() -> None:
    table = Ownership()
    assert not table.learn_anchor("a", 3)
    assert not table.learn_anchor("a", 100), "half of the sessions share nothing"
    assert table.learn_anchor("a", 180)
    assert table.anchors["a"] == 100
    assert table.learn_anchor("a", 0)
    assert table.anchors["a"] == 0
    assert table.learn_anchor("a", 120)
    assert table.anchors["a"] == 100
    assert table.set_anchor("a", 96)
    assert not table.set_anchor("a", 96)
    assert not table.learn_anchor("a", 50)
    assert table.anchors["a"] == 96


def test_the_agent_that_is_forgotten_is_the_one_asked_for_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.policies.tree.ownership.MAX_KNOWN_AGENTS", 2)
    table = Ownership()
    for agent in ("busy", "once", "busy", "new"):
        table.meet(Who("r", agent, "s"))
    assert [table.knows(agent) for agent in ("busy", "once", "new")] == [True, False, True]
