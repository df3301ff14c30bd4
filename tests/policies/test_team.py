"""Who comes next where teams are put together for a task: one of the session's own agents, as often as that is so."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from radixdeck.policies.reuse.model import ReuseModel
from radixdeck.policies.reuse.pairs import NOWHERE
from radixdeck.policies.reuse.standing import Standing
from radixdeck.policies.reuse.team import among_own, members, reach_own, without


def test_members_of_a_team_are_slots_that_are_known():
    team = 1 << 3 | 1 << 5 | 1 << 60
    assert members(team, 64) == [3, 5, 60]
    assert members(team, 5) == [3]
    assert without(team, 5, NOWHERE, 1) == 1 << 3 | 1 << 60


def test_a_share_of_what_follows_goes_to_the_own_and_what_goes_back_stays():
    row = np.array([0.0, 0.2, 0.5, 0.1, 0.0])
    among_own(row, 0.6, others=1 << 3 | 1 << 4, kept=2)
    assert row[2] == pytest.approx(0.5)
    assert row.sum() == pytest.approx(0.8)
    assert row[1] == pytest.approx(0.4 * 0.2)
    assert row[4] == pytest.approx(0.6 * 0.3 / 2)
    before = row.copy()
    among_own(row, 0.6, others=1 << 9, kept=NOWHERE)
    assert row == pytest.approx(before), "nobody of them is in the tables"


def test_the_discount_within_a_team_is_that_of_walking_among_its_members():
    team, step = 1 << 1 | 1 << 2 | 1 << 4, 0.8
    onward = np.array([0.0, 0.3, 0.0, 0.2, 0.4])
    reach = np.zeros(5)
    reach_own(reach, 1.0, team, onward, step)
    later = 0.0
    for _ in range(400):
        later = step * (1 / 3 + 2 / 3 * later)
    assert reach[1] == pytest.approx(0.3 + 0.6 * later, rel=1e-6)
    assert reach[2] == pytest.approx(0.9 * later, rel=1e-6)
    assert (reach[0], reach[3]) == (0.0, 0.0)
    reach_own(alone := np.zeros(5), 1.0, 1 << 1, onward, step)
    assert not alone.any(), "there is nobody to go to"


def taught(sessions: int, size: int, agents: int) -> ReuseModel:
    """Sessions of ten steps, each of a team drawn anew; whoever is not the last one comes next."""
    model, rng, now_s = ReuseModel(), Random(7), 0.0
    for number in range(sessions):
        team, last = rng.sample(range(agents), size), -1
        for _ in range(10):
            last = rng.choice([agent for agent in team if agent != last])
            model.dispatched(f"s{number}", f"agent{last}", 500, now_s)
            model.responded(f"s{number}", now_s + 0.2)
            now_s += 1.0
        model.ended(f"s{number}", told=True, now_s=now_s)
    return model


def next_of(model: ReuseModel, agents: tuple[str, ...]) -> list[float]:
    """How likely each of these is to be next once a session was at all of them."""
    for number, agent in enumerate(agents):
        model.dispatched("new", agent, 500, 1e4 + number)
        model.responded("new", 1e4 + number + 0.2)
    row = model.next_agents(model.standing.by_name["new"])
    return [float(row[model.agents[agent]]) for agent in agents]


def test_where_teams_are_drawn_anew_a_session_is_expected_to_stay_among_its_own():
    model = taught(sessions=60, size=4, agents=40)
    assert model.transitions.own.mean > 0.6
    assert sum(next_of(model, ("agent1", "agent2", "agent3", "agent4"))[:3]) > 0.6


def test_an_agent_whose_slot_another_one_takes_is_no_member_any_more():
    standing = Standing()
    for name in ("live", "past"):
        session = standing.begin(name, 0, 0.0)
        for agent in (1, 2):
            session.go_on(agent, 1.0)
    standing.close("past")
    standing.forget_agent(0)
    past = standing.past("past")
    assert past is not None
    assert standing.by_name["live"].team == past.team == 1 << 1 | 1 << 2


def test_a_session_lives_on_when_another_agent_takes_the_slot_of_the_one_that_it_came_from():
    standing = Standing()
    for name in ("live", "past", "elsewhere"):
        session = standing.begin(name, 0, 0.0)
        for agent in (3, 4, 3) if name == "elsewhere" else (1, 2, 1):
            session.go_on(agent, 1.0)
    standing.close("past")
    moved, past = standing.forget_agent(2), standing.past("past")
    assert past is not None
    assert set(standing.by_name) == {"live", "elsewhere"}
    assert [name for name, _ in moved] == ["live"]
    for session in (standing.by_name["live"], past):
        assert (session.agent, session.came_from, session.returned) == (1, NOWHERE, False)


def test_where_everybody_follows_everybody_what_is_known_of_agents_counts():
    model = ReuseModel()
    for number in range(60):
        for place, agent in enumerate("abcdef"):
            model.dispatched(f"s{number}", agent, 500, 10.0 * number + place)
            model.responded(f"s{number}", 10.0 * number + place + 0.2)
        model.ended(f"s{number}", told=True, now_s=10.0 * number + 6)
    assert model.transitions.own.mean < 0.05, "whoever comes next is new to the session"
    assert max(next_of(model, ("a", "b", "c"))) < 0.05
