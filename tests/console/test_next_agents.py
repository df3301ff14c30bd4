"""How sure the next agent is: R from counts, guesses against what came, the screen."""

from __future__ import annotations

import pytest
from scenario import folded, run_events
from staging import LARGE, SMALL, console, drawn

from radixdeck.console.agent_facts import sessions_of
from radixdeck.console.next_agents import live_sessions, predictability, summary
from radixdeck.policies.residency import RunState
from radixdeck.policies.reuse.transitions import ANSWER, Transitions


def test_certain_and_random_followers() -> None:
    assert predictability({"a": {"b": 5}, "b": {"a": 5}}).share == pytest.approx(1.0)
    assert predictability({"a": {"a": 5, "b": 5}, "b": {"a": 5, "b": 5}}).share == pytest.approx(0.0)
    half = predictability({"a": {"b": 4}, "b": {"a": 2, "b": 2}})
    assert 0 < half.share < 1
    assert predictability({}).steps == 0


@pytest.mark.parametrize("agents", [1, 2, 6])
def test_where_one_agent_always_comes_console_and_policy_say_the_same(agents: int) -> None:
    learned = Transitions()
    learned.grow(agents)
    learned.started(0)
    for _ in range(5):
        learned.moved(ANSWER, -1, 0, 0)
    counted = predictability({"a": {"a": 5}})
    assert counted.share == learned.predictability() == 0.0
    state = RunState(transitions={"a": {"a": 5}})
    assert "R 0.00 from 5 steps (next agent: 0.00 bits, 0.00 knowing" in summary(state, None)


def test_sessions_tell_where_they_are_and_what_comes() -> None:
    state = folded(run_events())
    _, *lines = live_sessions(state, 2, 200)
    assert len(lines) == 2
    assert lines[0].split() == ["s3", "search[web]", "11", "of", "11", "planner", "100", "%"]
    assert "50 of 50 times (100 %)" in summary(state, None)
    assert live_sessions(RunState(), 9, 80) == []


def test_names_of_sessions_stay_apart_where_there_is_little_room_and_are_whole_where_there_is_some() -> None:
    names = [f"nightly-evaluation-kv_caching-s101-{number:03}" for number in range(3)]
    state = RunState(session_agent=dict.fromkeys(names, "planner"))
    for width in (56, 76, 200):
        head, *lines = live_sessions(state, 9, width)
        assert head.index("is at") == lines[0].index("planner")
        assert len({line.split()[0] for line in lines}) == 3, width
        of_agent = sessions_of(state, "planner", 0, 9, width - 20)
        assert len({line.split()[0] for line in of_agent}) == 3, width
    assert lines[-1].startswith(names[0])
    assert of_agent[-1].startswith(names[0])


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_screen(size: tuple[int, int]) -> None:
    async with console(size) as pilot:
        await pilot.press("9")
        text = await drawn(pilot)
        for fact in ("predictability R 1.00", "the policy in force says 0.62", "4 sessions", "13 of 13", "P planner"):
            assert fact in text.replace("\n ", ""), text
