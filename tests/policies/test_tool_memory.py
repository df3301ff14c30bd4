"""What memory may answer: never after a change or ttl_s, never somebody else's, never a tool that contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.memo_rules import read_memo_rules
from radixdeck.policies.tool_memory import Asked, ToolCall, ToolMemory

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
        st.sampled_from(["begin", "end", "pass"]), st.sampled_from(["read", "team_read", "any_read", "write", "other"]),
        st.sampled_from("ab"), st.integers(0, 2),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=300)
@given(STEPS, st.integers(0, 2), st.integers(1, 4))
def test_no_answer_is_ever_older_than_a_change_or_its_time(
    steps: list[tuple[str, str, str, int]], trials: int, audit_every: int
) -> None:
    """Calls overlap in any way. Tools read a version that changes while a change is under way, at its start and end."""
    told, now_s, version = memory(trials=trials, audit_every=audit_every), 0.0, 0
    running: list[tuple[Any, bytes]] = []
    said: dict[tuple[str, str, int], dict[bytes, float]] = {}
    for kind, tool, agent, number in steps:
        now_s += 1.0
        if kind == "begin":
            if tool in ("write", "other"):
                version += 1
            asked = told.ask(call(tool, agent=agent, n=number), now_s)
            whose = agent if tool == "read" else ""
            if asked.ticket is None:
                began_s = said[(tool, whose, number)][asked.value]
                assert now_s - began_s < 10
                changed = {"read": ("write", "other"), "team_read": ("write", "other"), "any_read": ("other",)}[tool]
                assert not any(done[0].tool in changed for done in running)
                if tool != "any_read":
                    assert asked.value == b"%d" % version
            else:
                value = b"%d" % (0 if tool == "any_read" else version)
                said.setdefault((tool, whose, number), {})[value] = now_s
                running.append((asked.ticket, value))
        elif kind == "end" and running:
            ticket, value = running.pop(number % len(running))
            if ticket.tool in ("write", "other"):
                version += 1
            told.answered(ticket, value, now_s)
    assert told.off == {}
