"""When a session reaches each agent, by its likely next moves one by one."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from radixdeck.policies.reuse.model import ReuseModel
from radixdeck.policies.reuse.transitions import ANSWER, TOOL

TEAMS = (("ask", "search", "ask", "end"), ("plan", "search", "plan", "end"))


def served(model: ReuseModel, *, sessions: int = 60, says_next: bool = False) -> float:
    """Two kinds of sessions that have an agent in common, one session after the other. Returns when they are over."""
    rng, now_s = Random(7), 0.0
    for number in range(sessions):
        agents = rng.choice(TEAMS)
        for agent, after in zip(agents, (*agents[1:], ""), strict=True):
            model.dispatched(f"s{number}", agent, 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            if says_next and after:
                model.hinted(f"s{number}", after)
            now_s += 1.0
        model.ended(f"s{number}", told=True, now_s=now_s)
    return now_s


def begun(model: ReuseModel, agent: str, now_s: float, says_next: str = "") -> dict[str, float]:
    """A session begins with the agent, and says who is next. Returns the discount until it is at each one."""
    model.dispatched("new", agent, 500, now_s)
    model.responded("new", now_s + 0.2)
    if says_next:
        model.hinted("new", says_next)
    model.settle()
    row = model.standing.reach[model.standing.by_name["new"].place]
    return {name: float(row[slot]) for name, slot in model.agents.items() if slot < len(row)}


@pytest.mark.parametrize(("first", "other"), [("ask", "plan"), ("plan", "ask")])
def test_whoever_was_asked_answers_the_one_who_asked(first: str, other: str):
    """By the agent that both go to alone, it is as likely to go on to either."""
    now_s = served(model := ReuseModel())
    row = begun(model, first, now_s)
    assert row["search"] > row[first] > 2.5 * row[other]


def test_a_session_is_followed_to_an_agent_that_it_said_is_next():
    now_s = served(model := ReuseModel(), says_next=True)
    usual, said = begun(model, "ask", now_s), begun(model, "ask", now_s + 1.0, says_next="search")
    assert said["search"] > 0.95
    assert said["ask"] > 2.5 * said["plan"]
    assert said["end"] < said["ask"]
    assert usual["plan"] == pytest.approx(said["plan"], abs=0.1)


def test_discounts_are_shares():
    rng, model, now_s = Random(3), ReuseModel(), 0.0
    for _ in range(40):
        for _ in range(rng.randrange(2, 12)):
            name, agent = f"s{rng.randrange(9)}", f"agent{rng.randrange(6)}"
            model.dispatched(name, agent, 500, now_s)
            if rng.random() < 0.8:
                model.responded(name, now_s + 0.1)
                model.finished_with(name, agent, rng.choice((ANSWER, TOOL)))
            now_s += rng.random()
            model.settle()
            reach = model.standing.reach
            assert np.isfinite(reach).all()
            assert float(reach.min()) >= -1e-3
            assert float(reach.max()) <= 1.0 + 1e-3


def test_nobody_is_followed_where_nothing_is_predicted():
    now_s = served(model := ReuseModel())
    model.predicts = False
    model.refit()
    row = begun(model, "ask", now_s)
    assert row["ask"] == pytest.approx(row["plan"], rel=0.3)
