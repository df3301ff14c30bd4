"""What memory may answer: never after a change or ttl_s, never somebody else's, no tool that contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.tools.calls import Asked, ToolCall
from radixdeck.policies.tools.memory import ToolMemory
from radixdeck.policies.tools.rules import read_memo_rules

LIMITS = {"max_entries": 100.0, "max_bytes": 1e6, "max_result_bytes": 1e5, "trials": 0.0, "audit_every": 1e9}
RULES = """
[tools.read]
read_only = true
ttl_s = 10
invalidated_by = ["write"]
[tools.team_read]
read_only = true
ttl_s = 10
scope = "tenant"
ignore = ["reason"]
[tools.any_read]
read_only = true
ttl_s = 10
scope = "all"
invalidated_by = []
[tools.write]
[tools.slow_write]
settle_s = 5
"""


def memory(rules: str = RULES, **limits: float) -> ToolMemory:
    return ToolMemory(read_memo_rules(rules), {**LIMITS, **limits}.__getitem__)


def call(tool: str = "read", agent: str = "coder", tenant: str = "t", **arguments: Any) -> ToolCall:
    return ToolCall(tool=tool, arguments=arguments, agent=agent, tenant=tenant)


def asks(told: ToolMemory, what: ToolCall, now_s: float, result: bytes | None = b"1") -> Asked:
    """A call whose tool, if it is asked, says `result` at once."""
    asked = told.ask(what, now_s)
    if asked.ticket is not None:
        told.answered(asked.ticket, result, now_s)
    return asked


def hit(asked: Asked) -> bool:
    return asked.ticket is None


def test_a_repeat_is_answered_until_its_time_is_over() -> None:
    told = memory()
    assert not hit(asks(told, call(a=1), 0.0))
    assert told.ask(call(a=1), 9.9).value == b"1"
    assert not hit(told.ask(call(a=2), 9.9))
    assert not hit(told.ask(call(a=1), 10.0))


def test_the_time_counts_from_when_the_call_began() -> None:
    told = memory()
    ticket = told.ask(call(), 0.0).ticket
    assert ticket is not None
    told.answered(ticket, b"1", 8.0)
    assert hit(told.ask(call(), 9.0))
    assert not hit(told.ask(call(), 11.0))


def test_whose_results_are_whose() -> None:
    told = memory()
    for tool in ("read", "team_read", "any_read"):
        asks(told, call(tool), 0.0)
    assert [hit(told.ask(call(tool, agent="other"), 1.0)) for tool in ("read", "team_read", "any_read")] == [
        False, True, True,
    ]  # fmt: skip
    assert [hit(told.ask(call(tool, tenant="u"), 1.0)) for tool in ("read", "team_read", "any_read")] == [
        False, False, True,
    ]  # fmt: skip
    asks(told, call("team_read", reason="curious"), 1.0)
    assert hit(told.ask(call("team_read", reason="bored"), 1.0))


@pytest.mark.parametrize("tool", ["write", "never_heard_of"])
def test_a_change_takes_what_it_changes_before_and_after_it(tool: str) -> None:
    told = memory()
    asks(told, call(), 0.0)
    changing = told.ask(call(tool), 1.0)
    assert (hit(changing), changing.forgotten) == (False, 1)
    during = told.ask(call(), 2.0)
    assert during.why == f"{tool} is under way"
    assert during.ticket is not None
    assert changing.ticket is not None
    told.answered(changing.ticket, None, 3.0)
    assert told.answered(during.ticket, b"half", 4.0).what == "left"
    assert not hit(asks(told, call(), 5.0, b"2"))
    assert told.ask(call(), 6.0).value == b"2"


def test_a_read_that_a_change_overtook_is_not_kept() -> None:
    told = memory()
    early = told.ask(call(), 0.0).ticket
    asks(told, call("write"), 1.0)
    assert early is not None
    kept = told.answered(early, b"old", 2.0)
    assert (kept.what, kept.why) == ("refused", "something changed while it was under way")
    assert not hit(told.ask(call(), 3.0))


def test_a_change_that_is_called_off_may_go_on_for_ever() -> None:
    told = memory()
    ticket = told.ask(call("write"), 0.0).ticket
    assert ticket is not None
    told.called_off(ticket)
    asks(told, call(), 1.0)
    later = told.ask(call(), 1e6)
    assert "called off" in later.why
    assert not hit(later)
    told.restart()
    asks(told, call(), 2e6)
    assert hit(told.ask(call(), 2e6 + 1))


def test_a_change_that_goes_on_after_its_answer() -> None:
    told = memory()
    asks(told, call("slow_write"), 0.0)
    asks(told, call("team_read"), 4.9)
    assert not hit(asks(told, call("team_read"), 5.1))
    assert hit(told.ask(call("team_read"), 5.2))


def test_what_failed_or_is_too_large_is_not_kept() -> None:
    told = memory(max_result_bytes=200)
    asks(told, call(), 0.0, None)
    assert not hit(asks(told, call(), 1.0, bytes(500)))
    assert not hit(told.ask(call(), 2.0))
    assert (len(told), told.bytes) == (0, 0)


def test_what_has_no_spelling_is_asked_every_time() -> None:
    told = memory()
    for _ in range(2):
        asked = asks(told, call(a=float("nan")), 0.0)
        assert asked.why == "its arguments hold a number that is not finite"
    assert len(told) == 0


def test_a_tool_has_to_agree_with_itself_before_it_is_answered() -> None:
    told = memory(trials=2)
    assert [hit(asks(told, call(a=n % 2), n)) for n in range(6)] == [False, False, False, False, True, True]


def test_a_tool_that_contradicts_itself_is_off_before_its_first_answer() -> None:
    told = memory(trials=1)
    asks(told, call(), 0.0, b"12:00")
    asked = asks(told, call(), 1.0, b"12:01")
    assert not hit(asked)
    assert "another result" in told.off["read"]
    assert "another result" in asks(told, call(), 2.0).why
    assert len(told) == 0


def test_two_at_a_time_that_differ_are_a_contradiction_too() -> None:
    told = memory(trials=1)
    one, other = told.ask(call(), 0.0).ticket, told.ask(call(), 0.0).ticket
    assert one is not None
    assert other is not None
    told.answered(one, b"1", 1.0)
    assert told.answered(other, b"2", 1.0).what == "off"


def test_now_and_then_the_tool_is_asked_all_the_same() -> None:
    told = memory(audit_every=3)
    asks(told, call(), 0.0)
    assert [hit(asks(told, call(), 1.0)) for _ in range(6)] == [True, True, False, True, True, False]
    asks(told, call(), 1.0)
    asks(told, call(), 1.0)
    asks(told, call(), 1.0, b"changed behind our back")
    assert "read" in told.off


def test_new_rules_take_everything_and_know_what_is_under_way() -> None:
    told = memory()
    asks(told, call(), 0.0)
    old, write = told.ask(call(a=1), 0.0).ticket, told.ask(call("write"), 0.0).ticket
    told.obey(read_memo_rules(RULES.replace("ttl_s = 10", "ttl_s = 9")))
    assert old is not None
    assert write is not None
    assert told.answered(old, b"1", 1.0).what == "refused"
    assert "write is under way" in asks(told, call(), 1.0).why
    told.answered(write, None, 2.0)
    asks(told, call(), 3.0)
    assert hit(told.ask(call(), 4.0))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300)), max_size=60), st.integers(1, 8))
def test_it_stays_within_its_bounds(steps: list[tuple[int, int]], most: int) -> None:
    told = memory(max_entries=most, max_bytes=1000)
    for argument, size in steps:
        asks(told, call(a=argument), 0.0, bytes(size))
        assert len(told) <= most
        assert 0 <= told.bytes <= 1000
    told.forget_all()
    assert (len(told), told.bytes) == (0, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end"]),
        st.sampled_from(["read", "read", "team_read", "any_read", "write", "other"]),
        st.integers(0, 1),
    ),
    min_size=20,
    max_size=80,
)


PER = RULES.replace('invalidated_by = ["write"]', 'invalidated_by = ["write"]\nper = "n"')


def test_a_change_of_one_thing_leaves_what_is_about_another() -> None:
    told = memory(PER)
    for number in (1, 2):
        asks(told, call(n=number), 0.0)
    asks(told, call(), 0.0)  # about who knows what
    assert asks(told, call("write", n=1), 1.0).forgotten == 2
    assert [hit(told.ask(call(**about), 2.0)) for about in ({"n": 1}, {"n": 2}, {})] == [False, True, False]
    early = told.ask(call(), 2.5).ticket
    assert early is not None
    asks(told, call("write", n=7), 2.6)
    assert told.answered(early, b"old", 2.7).what == "refused"
    during = told.ask(call("write", n=2), 3.0).ticket
    assert during is not None
    assert told.ask(call(n=2), 4.0).why == "write is under way"
    assert told.ask(call(n=1), 4.0).why == ""
    told.called_off(during)
    assert ["called off" in asks(told, call(n=number), 5.0).why for number in (1, 2)] == [False, True]
    asks(told, call("write"), 6.0)
    assert not hit(told.ask(call(n=1), 7.0))


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 1), st.integers(2, 9))
def test_no_answer_is_ever_older_than_a_change(
    steps: list[tuple[str, str, int]], trials: int, audit_every: int
) -> None:
    """Calls overlap in any way. What tools read changes at the start and at the end of each call that changes it:
    `write` changes one number, `other` all of them; `read` reads one, `team_read` all, `any_read` only what `other`
    changes."""
    told, now_s = memory(PER, trials=trials, audit_every=audit_every), 0.0
    world = {"other": 0, 0: 0, 1: 0}
    running: list[tuple[Any, str, int, bytes]] = []

    def change(tool: str, number: int) -> None:
        world["other" if tool == "other" else number] += 1

    def says(tool: str, number: int) -> bytes:
        parts = {"read": ("other", number), "team_read": tuple(world), "any_read": ("other",)}[tool]
        return repr([world[part] for part in parts]).encode()

    for kind, tool, number in steps:
        now_s += 0.01
        if kind == "begin":
            asked = told.ask(call(tool, n=number), now_s)
            if tool in ("write", "other"):
                change(tool, number)
                running.append((asked.ticket, tool, number, b""))
            elif asked.ticket is None:
                assert asked.value == says(tool, number)
                assert not any(other == "other" for _, other, _, _ in running)
                if tool != "any_read":
                    touching = [n for _, other, n, _ in running if other == "write"]
                    assert not (touching if tool == "team_read" else [n for n in touching if n == number])
            else:
                running.append((asked.ticket, tool, number, says(tool, number)))
        elif kind == "end" and running:
            ticket, ended, about, value = running.pop(-number % len(running))
            if ended in ("write", "other"):
                change(ended, about)
            told.answered(ticket, value, now_s)
    assert told.off == {}
