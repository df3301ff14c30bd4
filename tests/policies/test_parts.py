"""Parts of a context: what is current, an output nobody repeated yet, what newer prompts passed by."""

from __future__ import annotations

from radixdeck.policies.events import Part
from radixdeck.policies.primitives import Subject
from radixdeck.policies.tree.ownership import Owned, Ownership, Who
from radixdeck.policies.tree.parts import MAX_AGENTS, MAX_COMMON, PASSED_BY

ASK = Who("r", "coder", "s1")


def add(table: Ownership, node: int, start: int, tokens: int, who: Who = ASK) -> Owned:
    return table.add(node, start, tokens, who, now_ns=node)


def history() -> Ownership:
    """One prompt of 900 tokens, 500 of them the anchor, and its output."""
    table = Ownership()
    table.set_anchor("coder", 500)
    table.meet(ASK, 900)
    add(table, 1, 0, 500)
    add(table, 2, 500, 400)
    add(table, 3, 900, 50)
    return table


def parts(table: Ownership) -> list[str]:
    return [table.nodes[node].part for node in sorted(table.nodes)]


def test_what_lies_behind_the_prompt_is_an_output_until_a_prompt_repeats_it():
    table = history()
    assert parts(table) == ["", "", "output"]
    assert table.subject(3) == Subject("private", ("coder",), "s1", part="output")
    table.meet(ASK, 1200)
    for node in (1, 2, 3):
        table.use(table.nodes[node], ASK, 10)
    assert table.passed_by(ASK) == []
    assert parts(table) == ["", "", ""]


def test_what_the_next_prompt_of_the_agent_does_not_repeat_is_passed_by_until_it_is_used_again():
    table = history()
    table.split(2, 4, 100)
    table.meet(ASK, 1200)
    for node in (1, 4):
        table.use(table.nodes[node], ASK, 10)
    assert {owned.node for owned in table.passed_by(ASK)} == {2, 3}
    assert table.subject(2) == Subject("private", ("coder",), "s1", part="old")
    assert table.passed_by(ASK) == []
    table.meet(ASK, 1200)
    assert table.use(table.nodes[2], ASK, 11)
    assert table.subject(2).part == ""


def test_another_agents_or_sessions_prompt_passes_nothing_by():
    table = history()
    for who in (Who("r2", "tester", "s1"), Who("r3", "coder", "s2")):
        table.meet(who, 700)
        assert table.passed_by(who) == []
    assert parts(table) == ["", "", "output"]


def test_a_closed_session_has_no_parts():
    table = history()
    table.end_session("s1")
    assert table.subject(3) == Subject("private", ("coder",))


def elsewhere(table: Ownership, times: int) -> None:
    """The agent is dispatched in sessions of their own that do not use what is there."""
    for _ in range(times):
        number = len(table.nodes)
        who = Who(f"r{number}", "coder", f"t{number}")
        table.meet(who, 600)
        add(table, 100 + number, 0, 500, who)
        table.passed_by(who)


def test_an_anchor_that_the_agents_last_dispatches_did_not_use_is_passed_by_the_longer_the_more():
    table, done = history(), 0
    before: Part = ""
    for part, dispatches in PASSED_BY.items():
        elsewhere(table, dispatches - 1 - done)
        assert table.nodes[1].part == before
        elsewhere(table, 1)
        assert table.subject(1) == Subject("anchor", ("coder",), part=part)
        done, before = dispatches, part
    elsewhere(table, 100)
    assert table.nodes[1].part == before
    table.meet(ASK, 900)
    assert table.use(table.nodes[1], ASK, 999)
    assert table.subject(1).part == ""
    elsewhere(table, PASSED_BY["old"] - 1)
    assert table.subject(1).part == ""
    elsewhere(table, 1)
    assert table.subject(1).part == "old"


def learned() -> Ownership:
    """What was one session's became common: another session of the agent used it."""
    table = Ownership()
    other = Who("r2", "coder", "s2")
    table.meet(ASK, 500)
    add(table, 1, 0, 500)
    table.meet(other, 500)
    table.use(table.nodes[1], other, 2)
    assert table.nodes[1].role == "anchor"
    return table


def test_what_became_common_is_not_passed_by_when_it_is_used_again():
    table = learned()
    table.meet(ASK, 900)
    table.use(table.nodes[1], ASK, 3)
    assert table.passed_by(ASK) == []


def test_what_became_common_is_not_passed_by_as_soon_as_one_session_does_without_it():
    table = learned()
    table.meet(ASK, 900)
    assert table.passed_by(ASK) == []
    elsewhere(table, PASSED_BY["old"])
    assert table.nodes[1].part == "old"


def test_of_common_nodes_only_those_used_last_are_watched():
    table = history()
    for node in range(1000, 1000 + MAX_COMMON + 10):
        add(table, node, 0, 500)
    common = table._parts._common["coder"]  # pyright: ignore[reportPrivateUsage]
    assert sum(map(len, common.used)) == MAX_COMMON
    elsewhere(table, PASSED_BY["old"])
    assert (table.nodes[1].part, table.nodes[1005].part, table.nodes[1000 + MAX_COMMON].part) == ("", "", "old")


def test_a_session_of_ever_new_agents_takes_no_more_room():
    table = history()
    for number in range(3 * MAX_AGENTS):
        who = Who(f"r{number}", f"agent{number}", "s1")
        table.meet(who, 600)
        assert not table.is_new(who)
    lines = table._parts._lines["s1"]  # pyright: ignore[reportPrivateUsage]
    assert list(lines) == [f"agent{number}" for number in range(2 * MAX_AGENTS, 3 * MAX_AGENTS)]
    assert table.is_new(ASK)


def test_nodes_that_are_gone_do_no_harm():
    table = history()
    table.drop(2)
    table.meet(ASK, 1200)
    assert [owned.node for owned in table.passed_by(ASK)] == [3]
    table.clear()
    table.meet(ASK, 1200)
    assert table.passed_by(ASK) == []
