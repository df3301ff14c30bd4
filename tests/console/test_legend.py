"""The legend under the map: its signs are there on the smallest screen too, and none is torn from its word."""

from __future__ import annotations

import re

import pytest
from scenario import ANCHORS, folded, run_events
from staging import LARGE, SMALL, ScriptedFeed, console, drawn, keyframe, status
from textual.content import Content

from radixdeck.console.feed_messages import Connection, FeedMessage
from radixdeck.console.flashes import EVICTED, FROM_HOST, GLYPHS
from radixdeck.console.node_words import in_lines, legend
from radixdeck.console.theme import agent_marks
from radixdeck.policies.residency import AgentStats, RunState

SIGNS = ["+  shared", "░ running", *(f"{glyph} {word}" for glyph, word in GLYPHS.items())]


def with_a_host_tier() -> list[FeedMessage]:
    state = folded(run_events())
    state.host_capacity_tokens = 8_000
    return [Connection(True), status(), keyframe(state, len(run_events()))]


@pytest.mark.parametrize("size", [SMALL, (100, 30), LARGE])
async def test_every_sign_is_told_whole_before_the_agents(size: tuple[int, int]) -> None:
    async with console(size, ScriptedFeed(with_a_host_tier())) as pilot:
        await pilot.press("2")
        text = await drawn(pilot)
        places = [text.find(sign) for sign in SIGNS]
        assert -1 not in places
        agents = [text.find(f" {letter}  {agent} ") for letter, agent in zip("PCRTWS", ANCHORS, strict=True)]
        assert -1 not in agents, "and all six agents are"
        assert max(places) < min(agents)


@pytest.mark.parametrize("width", [30, 44, 56, 66, 76, 98, 130])
@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("agents", [1, 6, 24])
def test_who_has_no_room_is_counted(width: int, rows: int, agents: int) -> None:
    """Every agent is named or counted, and nothing is below the last row unless the signs alone fill it."""
    state = RunState(host_capacity_tokens=8_000)
    for number in range(agents):
        name = f"agent-{number:02} of a long name"
        state.agents[name] = AgentStats(agent=name, resident_tokens=1_000 + number)
    lines = legend(state, agent_marks(state.agents), width, rows).plain.splitlines()
    named = sum(line.count("agent-") for line in lines)
    left = re.search(r"\+(\d+) more", "\n".join(lines))
    assert named + (int(left[1]) if left else 0) == agents
    signs = len(legend(RunState(host_capacity_tokens=8_000), {}, width, 9).plain.splitlines())
    assert len(lines) <= max(rows, signs + 1)
    assert max(map(len, lines)) <= width
    assert bool(left) == (named < agents)


def test_tokens_are_told_where_there_is_room_and_go_before_names_do() -> None:
    state, marks = folded(run_events()), agent_marks(ANCHORS)
    assert " P  planner 476" in legend(state, marks, 200, 2).plain
    state.host_capacity_tokens = 8_000
    tight = legend(state, marks, 76, 2).plain
    assert " S  search[web]" in tight
    assert "planner 476" not in tight
    assert "+" not in tight.replace(" +  shared", "")


def test_an_entry_stays_on_one_line() -> None:
    entries = [Content(f"{EVICTED} evicted"), Content(f"{FROM_HOST} from host"), Content("much too long for it")]
    assert [line.plain for line in in_lines(entries, 12)] == [entry.plain for entry in entries]
    assert [line.plain for line in in_lines(entries, 22)] == [
        f"{EVICTED} evicted  {FROM_HOST} from host",
        entries[2].plain,
    ]
    assert in_lines([], 12) == []


@pytest.mark.parametrize(
    ("lines", "shown"),
    [(["ab", "cd", "efgh", "i"], ["ab; cd", "efgh", "i"]), ([], []), (["much too long"], ["much too long"])],
)
def test_short_lines_share_one_and_none_is_lost(lines: list[str], shown: list[str]) -> None:
    assert [line.plain for line in in_lines([Content(line) for line in lines], 6, "; ")] == shown
