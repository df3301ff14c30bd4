"""The cases of speculation: one transcript that all agents of a session are sent, with pauses and without."""

from __future__ import annotations

from radixdeck.daemon.front_paths import PathBook
from radixdeck.demos.policy_cases_ahead import LEAST_CHANCE, PAUSED, PROMISED, with_pauses, without_pauses
from radixdeck.policies.identity.prompts import CHAT_ROUTES
from radixdeck.policies.identity.who import Who


def test_agents_share_a_transcript_that_goes_on_where_the_one_before_left_it() -> None:
    last: dict[str, list[dict[str, str]]] = {}
    grown = asked = 0
    for turn in with_pauses(101, 80):
        talk = turn.messages[1:]
        if (before := last.get(turn.session)) is not None:
            asked += 1
            grown += talk[: len(before)] == before and len(talk) > len(before)
        last[turn.session] = talk
    assert asked > 50
    assert 0.6 < grown / asked < 1.0, "who speaks twice is shown its own words as its own"


def test_most_of_what_comes_next_is_known_to_the_front_by_then() -> None:
    book, right, sessions = PathBook(), 0, set[str]()
    turns = with_pauses(101, 80)
    for turn in turns:
        talk = turn.messages[1:]
        if (known := book.likely(turn.session, turn.agent)) is not None:
            right += known.head == turn.messages[:1] and len(known.talk) > 0 and known.talk == talk[: len(known.talk)]
        sessions.add(turn.session)
        who = Who(agent=turn.agent, session=turn.session)
        book.note(who, min(CHAT_ROUTES), {"messages": turn.messages}, None, 100)
    assert right / (len(turns) - len(sessions)) > 0.85, "unless it begins or was never asked"


def test_there_are_pauses_or_none() -> None:
    low, high = PAUSED.think_s
    assert all(low <= turn.think_s <= high for turn in with_pauses(101, 80))
    assert {turn.think_s for turn in without_pauses(101, 80)} == {0.0}


def test_the_floor_for_waste_is_what_the_policy_promises() -> None:
    assert 0 < LEAST_CHANCE < 1
    assert PROMISED.kept(100 * (1 - LEAST_CHANCE))
    assert not PROMISED.kept(100 * (1 - LEAST_CHANCE) + 1)
