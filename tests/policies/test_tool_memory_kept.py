"""What memory holds on to: what was used last, what is fresh enough, and no trust in tools that other rules had."""

from __future__ import annotations

import msgspec
from test_tool_memory import RULES, asks, call, hit, memory

from radixdeck.policies.tools.rules import read_memo_rules


def test_of_too_many_those_go_that_were_used_longest_ago() -> None:
    told = memory(max_entries=2)
    for argument in (1, 2, 1, 3):
        asks(told, call(a=argument), 0.0)
    assert [hit(told.ask(call(a=argument), 1.0)) for argument in (1, 2, 3)] == [True, False, True]


def test_a_result_from_later_than_now_is_not_fresh() -> None:
    """The clock went back, and nobody knows how old it is."""
    told = memory()
    asks(told, call(), 100.0)
    assert not hit(told.ask(call(), 50.0))


def test_two_at_a_time_may_differ_where_one_took_longer_than_results_are_good_for() -> None:
    told = memory()
    one, other = told.ask(call(), 0.0).ticket, told.ask(call(), 0.0).ticket
    assert one is not None
    assert other is not None
    told.answered(one, b"1", 1.0)
    assert told.answered(other, b"2", 20.0).what == "stored"
    assert told.off == {}


def test_under_new_rules_a_tool_has_to_agree_with_itself_again() -> None:
    told = memory(trials=1)
    for _ in range(2):
        asks(told, call(), 0.0)
    assert hit(told.ask(call(), 1.0))
    told.obey(read_memo_rules(RULES))
    assert [hit(asks(told, call(), 2.0)) for _ in range(3)] == [False, False, True]


def test_what_a_result_depends_on_beside_the_arguments_tells_calls_apart() -> None:
    told, here = memory(), msgspec.structs.replace(call(), context="here")
    asks(told, here, 0.0)
    assert hit(told.ask(here, 1.0))
    assert not hit(told.ask(msgspec.structs.replace(here, context="there"), 1.0))


def test_a_call_is_not_made_early_while_the_same_is_on_its_way() -> None:
    told = memory(RULES.replace("ttl_s = 10", "ttl_s = 10\nspeculate = true", 1))
    asked = told.ask(call(), 0.0).ticket
    assert asked is not None
    assert told.ask_early(call(), 1.0) is None
    told.called_off(asked)
    assert told.ask_early(call(), 2.0) is not None
