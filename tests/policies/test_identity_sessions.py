"""Inferred sessions: a conversation keeps its session while it grows, and conversations are not mixed up."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixdeck.policies.identity.prompts import read_prompt
from radixdeck.policies.identity.sessions import LIVE_S, MAX_TEAM, Sessions

CHAT = "/v1/chat/completions"


def chain(*turns: str) -> tuple[bytes, ...]:
    messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return read_prompt(CHAT, {"messages": messages}).chain


def test_a_conversation_keeps_its_session_while_it_grows() -> None:
    s = Sessions()
    one = s.of_chain("t", "a", chain("hi"), 0)
    assert s.of_chain("t", "a", chain("hi", "hello", "more"), 1) == one
    assert s.of_chain("t", "a", chain("hi", "hello", "more", "sure", "yet more"), 2) == one
    assert s.of_chain("t", "a", chain("hi", "hello", "more", "sure", "yet more"), 3) == one


def test_the_same_first_words_again_are_a_new_session_for_the_same_agent_only() -> None:
    s = Sessions()
    one = s.of_chain("t", "planner", chain("task"), 0)
    assert s.of_chain("t", "searcher", chain("task"), 1) == one
    two = s.of_chain("t", "planner", chain("task"), 2)
    assert two != one
    assert s.of_chain("t", "writer", chain("task"), 3) == two
    assert s.of_chain("t", "late", chain("task"), 3 + LIVE_S + 1) not in (one, two)


def test_sessions_with_the_same_first_words_stay_apart() -> None:
    s = Sessions()
    one, two = s.of_chain("t", "a", chain("hi"), 0), s.of_chain("t", "a", chain("hi"), 1)
    assert s.of_chain("t", "a", chain("hi", "x", "y"), 2) == one
    assert s.of_chain("t", "a", chain("hi", "z", "w"), 3) == two
    assert s.of_chain("t", "a", chain("hi", "x", "y", "u", "v"), 4) == one


def test_tenants_do_not_share_sessions() -> None:
    s = Sessions()
    assert s.of_chain("t", "a", chain("hi"), 0) != s.of_chain("u", "b", chain("hi"), 0)


def test_an_undeclared_agent_joins_a_declared_session() -> None:
    s = Sessions()
    s.learn("t", "planner", chain("task"), "mine", 0)
    assert s.of_chain("t", "searcher", chain("task"), 1) == "mine"


def test_a_raw_prompt_that_continues_another_is_the_same_session() -> None:
    s = Sessions()
    one = s.of_raw("t", "a", "You plan. Task 1.", 0)
    assert s.of_raw("t", "a", "You plan. Task 1. Done. Next?", 1) == one
    assert s.of_raw("t", "a", "You plan. Task 2.", 2) != one
    assert s.of_raw("t", "b", "You plan. Task 1. Done. Next?", 3) != one
    assert s.of_raw("t", "a", "You plan. Task 1.", 4) != one


@given(st.lists(st.integers(2, 6), min_size=1, max_size=12), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=80, deadline=None)
def test_interleaved_conversations_are_never_mixed(lengths: list[int], order: random.Random, raw: bool) -> None:
    s, named = Sessions(), dict[int, set[str]]()
    turns = [who for who, length in enumerate(lengths) for _ in range(length)]
    order.shuffle(turns)
    said: dict[int, list[str]] = {}
    for now, who in enumerate(turns):
        words = said.setdefault(who, [f"conversation {who}"])
        text, spoken = "|".join(words) + "|", chain(*words)
        session = s.of_raw("t", "a", text, now) if raw else s.of_chain("t", "a", spoken, now)
        named.setdefault(who, set()).add(session)
        words += [f"answer {now}", f"question {now}"]
    assert all(len(sessions) == 1 for sessions in named.values())
    assert len(set.union(*named.values())) == len(named)


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=80))
@settings(max_examples=50, deadline=None)
def test_tables_stay_within_their_bounds(words: list[str]) -> None:
    s = Sessions(chains=5, agents=2)
    for now, word in enumerate(words):
        s.of_chain("t", word, chain(word, "x", word * 2), now)
        s.of_raw("t", word, word * 3, now)
        assert len(s) <= 5


def test_an_agent_joins_the_one_live_session_that_began_with_its_words() -> None:
    s = Sessions()
    one = s.of_chain("t", "planner", chain("task", "news"), 0)
    assert s.of_chain("t", "coder", chain("task", "what the planner says"), 1) == one
    assert s.of_chain("t", "coder", chain("task", "what the planner says", "code", "wrong"), 2) == one
    assert s.of_chain("t", "critic", chain("task", "what the coder says"), 3) == one
    again = s.of_chain("t", "planner", chain("task", "other news"), 4)
    assert again != one, "one of its own agents begins anew"
    assert s.of_chain("t", "late", chain("task", "x"), 5) not in (one, again), "two sessions began so"


def test_how_far_two_sessions_begin_alike_decides_which_one_is_joined() -> None:
    s = Sessions()
    one = s.of_chain("t", "planner", chain("you are in a team", "task 1", "news"), 0)
    two = s.of_chain("t", "planner", chain("you are in a team", "task 2", "news"), 1)
    assert one != two
    assert s.of_chain("t", "coder", chain("you are in a team", "task 1", "code it"), 2) == one
    assert s.of_chain("t", "coder", chain("you are in a team", "task 2", "code it"), 3) == two
    assert s.of_chain("t", "coder", chain("you are in a team", "task 3", "code it"), 4) not in (one, two)


def test_a_session_that_is_asleep_is_not_joined() -> None:
    s = Sessions()
    one = s.of_chain("t", "planner", chain("task", "news"), 0)
    late = s.of_chain("t", "coder", chain("task", "code it"), LIVE_S + 1)
    assert late != one
    assert s.of_chain("t", "critic", chain("task", "look"), LIVE_S + 2) == late, "the only one that is awake"


def test_a_declared_session_is_joined_by_its_beginning_too() -> None:
    s = Sessions()
    s.learn("t", "planner", chain("task", "news"), "mine", 0)
    assert s.of_chain("t", "coder", chain("task", "code it"), 1) == "mine"


def test_a_conversation_that_is_gone_on_with_twice_under_its_name_is_judged_once() -> None:
    s = Sessions()
    for name in ("one", "two"):
        s.learn("t", "a", chain("hi"), name, 0, name)
    goes_on = chain("hi", "hello", "more")
    assert s.held("t", goes_on, "one") == 0.5
    assert s.held("t", goes_on, "one") is None
    assert s.held("t", goes_on, "two") == 1


def test_of_sessions_that_began_alike_the_one_that_is_called_as_its_caller_says_goes_on() -> None:
    s = Sessions()
    names = ("one", "two", "three")
    assert [s.of_chain("t", "a", chain("hi"), 0, name) for name in names] == list(names)
    assert s.of_chain("t", "a", chain("hi", "hello", "of three"), 1, "three") == "three"
    assert s.of_chain("t", "a", chain("hi", "hello", "of nobody"), 2, "nobody") == "one"
    assert s.of_chain("t", "a", chain("hi", "hello", "of two"), 3, "two") == "two"


def test_what_is_asked_again_under_the_name_of_its_session_is_no_new_one() -> None:
    s = Sessions()
    assert s.of_chain("t", "a", chain("task"), 0, "one") == "one"
    assert s.of_chain("t", "a", chain("task"), 1, "one") == "one"
    assert s.of_chain("t", "a", chain("task"), 2, "two") == "two"


@pytest.mark.parametrize("own", [0, 1])
def test_conversations_of_an_agent_with_a_prompt_for_each_user_are_not_all_one_session(own: int) -> None:
    s = Sessions()
    talks = [("how can I help?", f"user {user}")[: 1 + own] for user in range(200)]
    sizes = Counter(s.of_chain("t", f"of user {user}", chain(*talk), user) for user, talk in enumerate(talks))
    assert max(sizes.values()) <= MAX_TEAM
