"""When a call is made early, and when not: what it is worth, what real calls come first, what it may cost in vain."""

from __future__ import annotations

from typing import Any

import pytest

from radixdeck.policies.memoization import Memoization
from radixdeck.policies.tools.calls import ToolCall
from radixdeck.policies.tools.early_calls import START_CREDIT, EarlyCall, EarlyCalls
from radixdeck.policies.tools.memory import ToolMemory
from radixdeck.policies.tools.rules import read_memo_rules

RULES = """
[tools.list]
read_only = true
ttl_s = 100
[tools.read]
read_only = true
ttl_s = 100
speculate = true
[tools.write]
"""


class Rig:
    """A program with tools that take a second, and its memory. `early`: calls that nobody has made, as they are."""

    def __init__(self, rules: str = RULES, **limits: float) -> None:
        declared = {tunable.name: tunable.default for tunable in Memoization.declares}
        self.limits = declared | {"trials": 0} | limits
        self.memory = ToolMemory(read_memo_rules(rules), self.limits.__getitem__)
        self.calls = EarlyCalls(self.memory, self.limits.__getitem__)
        self.now_s = 0.0
        self.number = 0

    def begin(self, tool: str, **arguments: Any) -> Any:
        one = ToolCall(tool=tool, arguments=arguments)
        self.calls.began(one)
        return one, self.memory.ask(one, self.now_s)

    def end(self, begun: Any, said: Any = "text", took_s: float = 1.0) -> None:
        one, asked = begun
        self.now_s += took_s
        if asked.ticket is None:
            self.calls.used(asked.key)
            self.calls.ended(one, said, None)
            return
        self.calls.checked(asked.ticket.key)
        self.memory.answered(asked.ticket, repr(said).encode(), self.now_s)
        self.calls.ended(one, said, took_s)

    def does(self, tool: str, said: Any = "text", **arguments: Any) -> None:
        self.end(self.begin(tool, **arguments), said)

    def learns(self, times: int = 6) -> Rig:
        """read follows list, with the first of its names."""
        for _ in range(times):
            self.lists()
            self.does("read", path=f"{self.number}/a")
        return self

    def lists(self) -> None:
        self.number += 1
        self.does("list", [f"{self.number}/a", f"{self.number}/b"])

    def next(self) -> EarlyCall | None:
        return self.calls.next(self.now_s)

    def begins(self) -> EarlyCall:
        """A list is told, and the call that will likely come is made."""
        self.lists()
        early = self.next()
        assert early is not None
        return early

    def arrives(self, early: EarlyCall, took_s: float = 1.0) -> None:
        self.now_s += took_s
        self.memory.answered(early.ticket, b"'text'", self.now_s)
        assert self.calls.over(early, took_s).wasted == ""


def test_what_will_likely_come_is_called_and_its_result_answers_the_call() -> None:
    r = Rig().learns()
    early = r.begins()
    assert early.call.arguments == {"path": "7/a"}
    assert r.next() is None
    r.arrives(early)
    begun = r.begin("read", path="7/a")
    assert begun[1].value == b"'text'"
    assert r.calls.used(begun[1].key)
    assert not r.calls.used(begun[1].key), "once"


def test_nothing_is_called_early_unless_it_is_declared() -> None:
    r = Rig(RULES.replace("speculate = true", "")).learns()
    r.lists()
    assert not r.calls.on
    assert r.next() is None


@pytest.mark.parametrize(
    ("limits", "rules"),
    [
        ({"early_at_once": 0}, RULES),
        ({"early_worth": 10}, RULES),
        ({"early_least_s": 2}, RULES),
        ({}, RULES.replace("speculate = true", "speculate = true\ncost_s = 50")),
    ],
    ids=["none", "worth", "least", "cost"],
)
def test_what_is_not_worth_it_is_not_called(limits: dict[str, float], rules: str) -> None:
    r = Rig(rules, **limits).learns()
    r.lists()
    assert r.next() is None


def test_what_costs_nothing_is_called_on_a_smaller_chance() -> None:
    r = Rig(early_worth=3).learns(3)
    r.lists()
    assert r.next() is None
    free = Rig(RULES.replace("speculate = true", "speculate = true\ncost_s = 0"), early_worth=3).learns(3)
    free.lists()
    assert free.next() is not None


def test_a_tool_that_is_off_or_never_early_is_not_called() -> None:
    for how in ("off", "never"):
        r = Rig().learns()
        if how == "off":
            r.memory.switch_off("read", "so")
        else:
            r.calls.never.put("read", "so")
        r.lists()
        assert r.next() is None


def test_real_calls_go_first_at_a_server_that_does_one_thing_at_a_time() -> None:
    for serial in (True, False):
        r = Rig(f"serial = {str(serial).lower()}\n{RULES}").learns()
        other = ToolCall(tool="list", session="other")
        ticket = r.memory.ask(other, r.now_s).ticket
        assert ticket is not None
        r.lists()
        assert (r.next() is None) == serial
        r.memory.answered(ticket, b"1", r.now_s)
        assert (r.next() is not None) == serial


def test_what_waits_is_let_go_once_something_else_comes() -> None:
    r = Rig().learns()
    ticket = r.memory.ask(ToolCall(tool="list", session="other"), r.now_s).ticket
    assert ticket is not None
    r.lists()
    assert r.next() is None
    r.memory.answered(ticket, b"1", r.now_s)
    r.begin("write", path="x")
    assert r.next() is None


def test_nothing_is_called_that_is_there_or_may_be_changing() -> None:
    r = Rig().learns()
    r.does("read", path="7/a")
    r.lists()
    assert r.next() is None, "it is in memory"
    r = Rig("serial = false\n" + RULES).learns()
    r.begin("write", path="x")
    r.calls.ended(ToolCall(tool="list", arguments={}), ["7/a", "7/b"], 1.0)
    assert r.next() is None, "a change is under way"


def test_a_change_meanwhile_makes_it_vain_and_the_call_goes_to_the_tool() -> None:
    r = Rig().learns()
    early = r.begins()
    r.does("write", path="x")
    kept = r.memory.answered(early.ticket, b"'old'", r.now_s)
    assert kept.what == "refused"
    assert r.calls.over(early, 1.0, kept.why).wasted == kept.why
    assert r.begin("read", path="7/a")[1].ticket is not None


def test_so_many_at_a_time() -> None:
    rules = "serial = false\n" + RULES
    for most in (1, 2):
        r = Rig(rules, early_at_once=most)
        for n in range(8):
            r.does("list", [f"{n}/a", f"{n}/b", f"{n}/c"])
            for name in "abc":
                one = ToolCall(tool="read", arguments={"path": f"{n}/{name}"}, session=name)
                r.calls.began(one)
                r.calls.ended(one, "text", 1.0)
        for agent in range(3):  # three sessions wait for one each
            for n in range(6):
                for tool, arguments, said in (("list", {}, [f"{n}{agent}"]), ("read", {"path": f"{n}{agent}"}, "t")):
                    one = ToolCall(tool=tool, arguments=arguments, agent=str(agent))
                    r.calls.began(one)
                    r.calls.ended(one, said, 1.0)
            one = ToolCall(tool="list", arguments={}, agent=str(agent))
            r.calls.began(one)
            r.calls.ended(one, [f"new{agent}"], 1.0)
        begun = [r.next() for _ in range(4)]
        assert sum(early is not None for early in begun) == most


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_calls_in_vain_are_a_share_of_all_calls(share: float) -> None:
    """The tool is right to be guessed, but is never asked for once the guess is made."""
    r, vain = Rig(early_waste=share).learns(), 0
    calls = 0
    for _ in range(200):
        r.lists()
        calls += 1
        early = r.next()
        if early is not None:
            r.arrives(early)
            vain += 1
        r.calls._patterns.began(ToolCall(tool="read", arguments={"path": f"{r.number}/a"}))  # pyright: ignore[reportPrivateUsage]
    assert (vain > 0) == (share > 0 or START_CREDIT >= 1)
    assert vain <= share * (calls + 12) + START_CREDIT


def test_what_is_used_costs_nothing_of_it() -> None:
    r, used = Rig(early_waste=0, audit_every=1e9).learns(), 0
    for _ in range(30):
        r.arrives(r.begins())
        one, asked = r.begin("read", path=f"{r.number}/a")
        used += r.calls.used(asked.key)
        r.calls.ended(one, "text", None)
    assert used == 30


def test_a_call_that_waits_for_one_on_its_way_is_told_by_how_much_it_was_ahead() -> None:
    r = Rig().learns()
    early = r.begins()
    r.now_s += 0.25
    _, asked = r.begin("read", path="7/a")
    assert asked.ticket is not None
    assert asked.ticket.key == early.ticket.key
    r.memory.called_off(asked.ticket)
    assert r.calls.wanted(early.ticket.key, r.now_s)
    assert not r.calls.wanted(early.ticket.key, r.now_s), "the first only"
    r.now_s += 0.75
    r.memory.answered(early.ticket, b"'text'", r.now_s)
    assert r.calls.over(early, 1.0).ahead_s == 0.25


def test_what_nobody_asks_for_in_time_is_told_once() -> None:
    r = Rig().learns()
    early = r.begins()
    r.arrives(early)
    assert r.calls.lapsed(r.now_s) == []
    r.now_s += 100
    assert [outcome.call for outcome in r.calls.lapsed(r.now_s)] == [early.call]
    assert r.calls.lapsed(r.now_s) == []


def test_before_a_tool_is_proven_its_early_results_are_held_against_the_call() -> None:
    r = Rig(trials=1).learns()
    r.arrives(r.begins())
    _, asked = r.begin("read", path="7/a")
    assert asked.ticket is not None
    assert asked.ticket.expected == b"'text'"
    assert r.calls.checked(asked.ticket.key)
    assert r.memory.answered(asked.ticket, b"'text'", r.now_s).what == "confirmed"


def test_an_early_result_that_was_wrong_switches_the_tool_off_for_good() -> None:
    r = Rig(trials=1).learns()
    r.arrives(r.begins())
    _, asked = r.begin("read", path="7/a")
    assert r.memory.answered(asked.ticket, b"'another'", r.now_s).what == "off"
    r.calls.ended(ToolCall(tool="list", arguments={}), ["8/a", "8/b"], 1.0)
    assert r.next() is None
