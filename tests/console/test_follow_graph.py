"""The drawing of who follows whom: what it counts, that no line runs over another, sizes, the screen."""

from __future__ import annotations

import random

import pytest
from scenario import folded, run_events
from staging import LARGE, SMALL, console, drawn

from radixdeck.console.follow_graph import END, START, arranged, graph, laid_out, steps_of
from radixdeck.console.theme import agent_marks
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold


def run_of(*sessions: str, ended: bool = True) -> RunState:
    """Sessions of one-letter agents, one request after the other."""
    state, t_ns = RunState(), 1
    for number, session in enumerate(sessions):
        for agent in session:
            t_ns += 1
            fold(state, e.PrefixMatched(t_ns=t_ns, rid=f"r{t_ns}", agent=agent, session=f"s{number}", prompt_tokens=9,
                                        cached_tokens=0))  # fmt: skip
        if ended:
            fold(state, e.SessionEnded(t_ns=t_ns, session=f"s{number}"))
    return state


def many(agents: int) -> RunState:
    """Sessions that mostly go from one agent to the next and sometimes anywhere."""
    chance = random.Random(7)
    letters = [chr(ord("a") + number) for number in range(agents)]
    sessions: list[str] = []
    for _ in range(60):
        here = 0
        steps: list[str] = []
        for _ in range(chance.randint(3, 14)):
            steps.append(letters[here])
            here = (here + 1) % agents if chance.random() < 0.6 else chance.randrange(agents)
        sessions.append("".join(steps))
    return run_of(*sessions)


def test_sessions_begin_at_start_and_end_at_end() -> None:
    steps = {(step.source, step.target): (step.number, step.share) for step in steps_of(run_of("abc", "ab", "bb"))}
    assert steps == {
        (START, "a"): (2, pytest.approx(2 / 3)),
        (START, "b"): (1, pytest.approx(1 / 3)),
        ("a", "b"): (2, 1.0),
        ("b", "c"): (1, 0.25),
        ("b", "b"): (1, 0.25),
        ("b", END): (2, 0.5),
        ("c", END): (1, 1.0),
    }


def test_a_session_that_goes_on_has_not_ended() -> None:
    assert not [step for step in steps_of(run_of("ab", ended=False)) if step.target == END]


def test_rows_follow_the_way_that_is_mostly_taken() -> None:
    state = run_of("cab", "cab", "cb", "cxab")
    assert arranged(steps_of(state), list(state.agents)) == [START, "c", "a", "b", "x", END]


def test_the_drawing_of_a_small_run() -> None:
    state = run_of("ab", "ab", "aba")
    lines = [line.rstrip() for line in graph(state, agent_marks(state.agents), 64, 5).plain.splitlines()]
    assert lines == [
        "           START        ━━━┓    A 100 %",
        " ╭▶ A  a               4◀┳━┻─╮  B 75 %, END 25 %",
        " ╰─ B  b               3◀┻━┓ │  END 67 %, A 33 %",
        "            END         ◀━━┻─╯",
        "right: down, left: back up; ━ half or more, ─ a fifth, ┄ less",
    ]


@pytest.mark.parametrize("agents", [1, 2, 6, 24])
@pytest.mark.parametrize("size", [(76, 12), (46, 8), (30, 5), (110, 40)])
def test_it_keeps_to_its_room_and_says_what_is_missing(agents: int, size: tuple[int, int]) -> None:
    state = many(agents)
    text = graph(state, agent_marks(state.agents), *size).plain
    lines = text.splitlines()
    assert len(lines) <= size[1]
    assert "START" in text
    assert "END" in text
    assert max(len(line.rstrip()) for line in lines) <= max(size[0], 40)
    shown = sum(f" {mark.letter}  {agent}" in text for agent, mark in agent_marks(state.agents).items())
    assert shown == min(agents, size[1] - 3)
    if shown < agents and size[0] >= 46:
        assert f"not drawn: {agents - shown} agent" in text


def test_no_two_lines_share_a_stretch_of_a_lane() -> None:
    drawing = laid_out(many(24), [chr(ord("a") + n) for n in range(24)], 26, 9)
    taken: set[tuple[bool, int, int]] = set()
    assert len(drawing.lines) > 20
    for line in drawing.lines:
        for row in range(min(line.source, line.target), max(line.source, line.target) + 1):
            assert (line.source < line.target, line.lane, row) not in taken
            taken.add((line.source < line.target, line.lane, row))


def test_every_arrow_stands_at_a_row_that_is_reached() -> None:
    state = folded(run_events())
    marks = agent_marks(state.agents)
    drawing = laid_out(state, marks, 12, 9)
    lines = graph(state, marks, 76, 13).plain.splitlines()
    for number, line in enumerate(lines[: len(drawing.rows)]):
        assert ("◀" in line) == any(one.target == number and one.source < number for one in drawing.lines)
        assert ("▶" in line) == any(one.target == number and one.source > number for one in drawing.lines)


def test_odd_counts_draw() -> None:
    state = RunState(transitions={"ghost": {"a": -3, "b": 2}}, session_agent={"s": "nobody"})
    assert graph(state, {}, 60, 10).plain == "no agent yet"
    assert graph(RunState(), {}, 0, 0).plain == "no agent yet"


async def test_both_pictures_where_there_is_room_and_one_at_a_time_elsewhere() -> None:
    async with console(LARGE) as pilot:
        await pilot.press("9")
        text = await drawn(pilot)
        assert "next in the same session" in text
        assert "who follows whom" in text
    async with console(SMALL) as pilot:
        await pilot.press("9")
        assert "who follows whom" not in await drawn(pilot)
        await pilot.press("v")
        text = await drawn(pilot)
        assert "START" in text
        assert " END " in text
        assert "next in the same session" not in text
        for name in ("planner", "coder", "critic", "tester", "writer", "search[web]"):
            assert name in text
        await pilot.press("v")
        assert "next in the same session" in await drawn(pilot)
