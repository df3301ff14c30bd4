"""The staged incident without an engine: what it asks, when it is over, what it reports."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from radixdeck.demos.drive import Outcome
from radixdeck.demos.noisy import NOISY, PAPERS, STEADY, VICTIM, Cast
from radixdeck.demos.noisy_neighbour import Part, fix_of, hit_rate, parse, summary
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold

DOCS = Path(__file__).parents[2] / "docs"


def test_equal_seeds_ask_equal_things() -> None:
    one, other, third = Cast(5), Cast(5), Cast(6)
    asked = [*one.calm(), *one.noisy()]
    assert asked == [*other.calm(), *other.noisy()]
    assert asked != [*third.calm(), *third.noisy()]


def test_the_victim_comes_last_in_a_noisy_round_and_histories_grow() -> None:
    turns = Cast(1).noisy()
    assert [turn.agent for turn in turns] == [NOISY, STEADY] * sum(PAPERS) + [VICTIM]
    papers = [turn for turn in turns if turn.agent == NOISY]
    for before, after in itertools.pairwise(papers):
        if before.session == after.session:
            assert after.messages[: len(before.messages)] == before.messages
    assert len({turn.session for turn in papers}) == len(PAPERS)


def test_every_short_task_shares_its_agents_anchor_only() -> None:
    cast = Cast(1)
    first, second = (next(turn for turn in cast.calm() if turn.agent == VICTIM) for _ in range(2))
    assert (first.messages[0], first.tools) == (second.messages[0], second.tools)
    assert first.messages[1] != second.messages[1]
    assert first.session != second.session


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (e.ActionTaken(t_ns=1, id="1", kind="retain", agent=VICTIM), "planner retained"),
        (e.ActionTaken(t_ns=1, id="1", kind="pin", agent=VICTIM), "planner pinned"),
        (e.ActionTaken(t_ns=1, id="1", kind="quarantine", agent=NOISY), "researcher quarantined"),
        (e.PolicySwitched(t_ns=1, policy="kv_caching", enabled=True), "another policy"),
        (e.ActionTaken(t_ns=1, id="1", kind="retain", agent=VICTIM, ok=False, result="no"), ""),
        (e.ActionTaken(t_ns=1, id="1", kind="pin", agent=STEADY), ""),
    ],
)
def test_what_counts_as_a_fix(event: e.AnyEvent, words: str) -> None:
    state = RunState(policies={"lru": True, "operator": True})
    fold(state, event)
    assert fix_of(state) == words


def outcome(agent: str, cached: int, ttft_s: float, error: str = "") -> Outcome:
    told = {"prompt_tokens": 100, "cached_tokens": cached, "ttft_s": ttft_s, "error": error}
    return Outcome(index=0, agent=agent, session="s", **told)


def test_the_summary_counts_the_victims_answers_only() -> None:
    outcomes = [outcome(VICTIM, 90, 0.1), outcome(VICTIM, 0, 9.0, "HTTP 500"), outcome(NOISY, 0, 2.0)]
    part = Part(name="before", outcomes=outcomes, hurt=0)
    assert hit_rate(part.of(VICTIM)) == 0.9
    lines = summary([part, Part(name="incident", outcomes=[outcome(VICTIM, 10, 1.5)], hurt=3)]).splitlines()
    assert lines[2].split() == ["requests", "1", "1"]
    assert lines[3].split()[-2:] == ["90.0", "10.0"]
    assert lines[4].split()[-2:] == ["100", "1500"]
    assert lines[5].split()[-2:] == ["0", "3"]


def test_without_a_terminal_nobody_is_waited_for() -> None:
    assert parse([]).hands_off
    assert parse(["--seed", "7"]).seed == 7


def test_the_pictures_of_the_story_are_there() -> None:
    pictures = re.findall(r"\]\(([^)]+\.svg)\)", (DOCS / "incident.md").read_text())
    assert len(pictures) == 6
    for name in pictures:
        assert (DOCS / name).read_text().startswith("<svg")
