"""The case that measures shares of the cache: a flood between the questions of agents that come back."""

from __future__ import annotations

from itertools import pairwise

from radixdeck.demos.policy_cases import FAIRNESS, POLITE, flood
from radixdeck.demos.workloads import Turn

(CASE,) = (case for case in FAIRNESS if case.name == "flood")
SHARE = 0.5


def length(turn: Turn) -> int:
    return sum(len(message["content"]) for message in turn.messages)


def test_a_seed_gives_the_same_turns_and_each_is_a_session_of_its_own() -> None:
    turns = flood(101, CASE.requests)
    assert turns == CASE.turns(101, CASE.requests)
    assert turns != flood(102, CASE.requests)
    assert len(turns) == CASE.requests
    assert len({turn.session for turn in turns}) == CASE.requests


def test_between_two_questions_of_an_agent_more_is_read_than_the_cache_holds_and_nothing_twice() -> None:
    turns = flood(101, CASE.requests)
    places: dict[str, list[int]] = {}
    for place, turn in enumerate(turns):
        places.setdefault(turn.agent, []).append(place)
    pages = [turns[place].messages[0]["content"] for place in places.pop("greedy")]
    assert len({*pages}) == len(pages)
    assert len(places) == POLITE
    for asked in places.values():
        assert len(asked) >= 5
        assert all(turns[one].messages[:-1] == turns[asked[0]].messages[:-1] for one in asked)
        assert len({turns[one].messages[-1]["content"] for one in asked}) == len(asked)
        for first, then in pairwise(asked):
            assert sum(map(length, turns[first + 1 : then])) / 4 > CASE.kv_tokens


def test_what_the_others_ask_fits_in_what_the_flood_leaves_them() -> None:
    turns = flood(101, CASE.requests)
    last = {turn.agent: length(turn) for turn in turns if turn.agent != "greedy"}
    questions = sum(len(turn.messages[-1]["content"]) for turn in turns if turn.agent != "greedy")
    assert (sum(last.values()) + questions) / 4 < (1 - SHARE) * CASE.kv_tokens
