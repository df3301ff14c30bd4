"""What follows an agent: by its own counts, by what all agents do, and by where a session came from."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from radixdeck.policies.reuse.habits import Habits
from radixdeck.policies.reuse.liveness import Gaps
from radixdeck.policies.reuse.model import ReuseModel
from radixdeck.policies.reuse.pairs import LEAST_WEIGHT, NOWHERE, Pairs, back_of
from radixdeck.policies.reuse.standing import Session
from radixdeck.policies.reuse.tables import Tables
from radixdeck.policies.reuse.transitions import ANSWER, FINISHES, TOOL, Floats, Transitions
from radixdeck.policies.reuse.turns import Turns
from radixdeck.policies.reuse.weights import Weights


def taught(*paths: tuple[int, ...], times: int = 40) -> Transitions:
    transitions = Transitions()
    transitions.grow(1 + max(max(path) for path in paths))
    for _ in range(times):
        for path in paths:
            transitions.started(path[0])
            for before, after in pairwise(path):
                transitions.moved(ANSWER, NOWHERE, before, after)
            transitions.ended(ANSWER, path[-1])
    return transitions


def fitted(transitions: Transitions, gaps: Gaps) -> Tables:
    run_s = np.full(transitions.agents, 0.3, np.float32)
    return Tables(transitions, gaps, run_s, beta_per_s=0.1, predicts=True, chances=Turns().chances())


def after(transitions: Transitions, agent: int) -> tuple[Floats, Floats]:
    """Probability of an end `[finish]`, and of each next agent `[finish, next]`, after a response of the agent."""
    habits = Habits(transitions.counts(), transitions.marginal(), transitions.met.mean, Weights(1.0, 0.5))
    ends, moving = habits.after(transitions.of(agent, transitions.agents), np.array([agent]))
    return ends[:, 0], moving[:, 0]


def test_probabilities_sum_to_one_and_follow_what_was_seen():
    transitions = taught((0, 1, 2))
    following = transitions.following()
    assert following.sum(1) == pytest.approx(1.0, rel=1e-5)
    assert following[0, 1 + 1] > 0.9
    assert following[2, 0] > 0.9
    assert transitions.first() == pytest.approx([1, 0, 0], abs=0.05)


def test_who_began_one_session_is_not_expected_to_begin_another_where_most_begin_with_somebody_new():
    strangers = Transitions()
    strangers.grow(201)
    for agent in range(200):
        strangers.started(agent)
    assert strangers.first().sum() < 0.05
    for agent in range(200):
        strangers.forget(agent)
        strangers.started(agent)
        strangers.started(200)
    first = strangers.first()
    assert first[200] > 0.4, "who begins every other one is"
    assert first[:200].sum() < 0.05
    assert strangers.still().first() == pytest.approx(first)


def test_a_team_that_takes_turns_is_not_taken_for_strangers():
    team = Transitions()
    team.grow(20)
    for agent in 2 * list(range(20)):
        team.started(agent)
    assert team.first().sum() > 0.6
    for agent in 2 * list(range(20)):
        team.started(agent)
    assert team.first() == pytest.approx(np.full(20, 0.05), abs=0.02)


def test_how_a_response_finished_tells_rows_apart():
    transitions = taught((0, 1), (1, 0))
    for _ in range(20):
        transitions.moved(TOOL, NOWHERE, 0, 0)
    ends, moving = after(transitions, 0)
    assert transitions.finishes().sum(0) == pytest.approx(1.0, rel=1e-5)
    assert moving[TOOL, 0] > 0.9
    assert moving[ANSWER, 0] < 0.2
    assert moving.sum(1) == pytest.approx(1.0, abs=0.05)
    assert ends[TOOL] < 0.1


def test_what_every_agent_does_is_expected_of_a_new_one():
    transitions = taught((0, 1), (1, 0), (1, 2))
    for agent in (0, 1, 2):
        for _ in range(10):
            transitions.moved(TOOL, NOWHERE, agent, agent)
    transitions.grow(4)
    ends, moving = after(transitions, 3)
    assert moving[TOOL, 3] > 0.9, "what a tool returns goes to the agent that asked for it"
    assert moving[ANSWER, 3] < 0.2, "who answers is not asked again at once"
    assert moving[ANSWER, 1] > moving[ANSWER, 2], "who comes then is anybody, as often as they come"
    assert ends[TOOL] < 0.05 < ends[FINISHES] < ends[ANSWER]
    assert after(transitions, 0)[1][ANSWER, 1] > 0.9, "an agent that is known is known better"


def test_where_sessions_only_ever_go_on_to_strangers_nobody_who_was_met_is_expected():
    path = tuple(range(12))
    onward, about = Transitions(), Transitions()
    for transitions in (onward, about):
        transitions.grow(13)
        transitions.started(0)
    for before, following in pairwise(path):
        onward.moved(ANSWER, before - 1, before, following)
        about.moved(ANSWER, before - 1, before, following)
    for before in range(10):
        about.moved(ANSWER, before - 1, before, before + 2)
    assert onward.met.mean < 0.1
    assert about.met.mean > 0.4
    assert after(onward, 12)[1][ANSWER].sum() < 0.5 * after(about, 12)[1][ANSWER].sum()
    onward.forget(5)
    onward.moved(ANSWER, 3, 4, 5)
    assert onward.met.mean < 0.1, "another agent has taken its slot"


@pytest.mark.parametrize("agents", [1, 2, 7])
def test_while_nothing_is_known_anything_may_follow(agents: int):
    transitions = Transitions()
    transitions.grow(agents)
    ends, moving = after(transitions, agents - 1)
    assert np.isfinite(moving).all()
    assert (moving.sum(1) > 0.3).all()
    assert (moving.sum(1) < 1.0).all(), "it may be an agent that nobody has met"
    assert (ends > 0.02).all()
    assert (ends < 0.5).all()


def test_predictability_is_high_for_a_pipeline_and_low_for_chance():
    assert taught((0, 1, 2, 3)).predictability() > 0.7
    chance, rng = Transitions(), np.random.default_rng(1)
    chance.grow(4)
    for _ in range(400):
        chance.moved(ANSWER, NOWHERE, int(rng.integers(4)), int(rng.integers(4)))
    assert chance.predictability() < 0.15
    assert Transitions().predictability() == 0.0


def test_a_session_that_came_back_had_not_ended():
    transitions = taught((0, 1))
    before = transitions.following()[1, 0]
    transitions.ended(ANSWER, 1)
    transitions.not_ended(ANSWER, 1)
    assert transitions.following()[1, 0] == pytest.approx(before, abs=0.02)


def test_a_reused_slot_starts_from_nothing():
    transitions = taught((0, 1, 0, 1, 0))
    assert transitions.counts()[:, 1].sum() > 1.0
    assert transitions.counts()[:, :, 2].sum() > 1.0
    transitions.forget(1)
    assert transitions.counts()[:, 1].sum() == 0.0
    assert transitions.counts()[:, :, 2].sum() == 0.0


def test_a_row_of_a_pair_that_was_told_stays_as_it_was():
    pairs = Pairs()
    pairs.moved(TOOL, NOWHERE, 0, 1)
    told = pairs.rows(NOWHERE, 0)
    pairs.moved(TOOL, NOWHERE, 0, 1)
    assert told == ({}, {1: 1})
    assert pairs.rows(NOWHERE, 0) == ({}, {1: 2})


def chain(*ways_back: int, times: int = 8) -> Pairs:
    """Of eight sessions that come to each agent from the one before, so many are sent back."""
    pairs = Pairs()
    for agent, back in enumerate(ways_back, 1):
        for number in range(times):
            pairs.moved(ANSWER, agent - 1, agent, agent - 1 if number < back else agent + 1)
    return pairs


def test_where_all_rows_are_alike_what_is_common_weighs_much_and_else_little():
    alike, unlike = chain(1, 1, 1, 1, 1, 1), chain(8, 0, 8, 0, 8, 0)
    same, other = alike.back()[back_of(ANSWER, False)], unlike.back()[back_of(ANSWER, False)]
    assert same.share == pytest.approx(1 / 8, abs=0.01)
    assert same.weight > 8
    assert other.share == pytest.approx(1 / 2, abs=0.01)
    assert other.weight == LEAST_WEIGHT
    assert Pairs().back()[0].weight == LEAST_WEIGHT


def test_a_way_back_is_expected_of_a_pair_that_never_took_it():
    transitions, gaps = taught((0, 1, 2, 3, 4), times=80), Gaps()
    gaps.grow(5)
    transitions.pairs = chain(1, 1, 1, 0)
    tables = fitted(transitions, gaps)
    session = Session(agent=3, since_s=0.0, place=0, came_from=2, running=0)
    onward, _ = tables.onward(session, tables.stood(session))
    assert 0.03 < onward[2] < 0.2
    assert onward[4] > 0.75
    assert onward.sum() == pytest.approx(1.0, abs=1e-3)
    session.running = 1
    onward, _ = tables.onward(session, tables.stood(session))
    assert 0.03 < onward[2] < 0.2


def test_who_was_sent_back_has_been_there_before():
    model = ReuseModel()
    for agent in ("a", "b", "a"):
        session = model.dispatched("s", agent, 100, 1.0)
    assert session.returned
    assert not model.dispatched("s", "c", 100, 2.0).returned
    pairs = model.transitions.pairs
    a, b, c = (model.agents[name] for name in "abc")
    assert pairs.rows(b, a, returned=True)[ANSWER] == {c: 1}
    assert pairs.rows(b, a)[ANSWER] == {}


def test_what_follows_an_agent_is_by_the_counts_it_was_kept_from():
    transitions, gaps = taught((0, 1, 0, 1)), Gaps()
    gaps.grow(2)
    tables = fitted(transitions, gaps)
    kept, known = tables.leaving(0), fitted(transitions, gaps).leaving(0)
    fitted(transitions, gaps).prepare([known])
    expected = known.onward
    tables.changing(0)
    transitions.moved(ANSWER, NOWHERE, 0, 0)
    ends = tables.ends([kept])[kept]
    assert expected is not None
    assert list(ends) == list(expected.ends)
    assert (tables.after(kept).agents == expected.agents).all()
    assert not (tables.after(tables.leaving(0)).agents == expected.agents).all()


def test_predictability_follows_what_is_counted_after_it_was_asked_for():
    transitions = taught((0, 1, 2, 3))
    before = transitions.predictability()
    assert transitions.predictability() == before
    for _ in range(40):
        transitions.moved(ANSWER, NOWHERE, 0, 3)
        transitions.moved(ANSWER, NOWHERE, 0, 2)
    counted = transitions.predictability()
    assert counted < before
    transitions.not_ended(ANSWER, 0)
    assert transitions.predictability() == pytest.approx(counted, abs=0.05)
    transitions.forget(0)
    assert transitions.predictability() != counted
    transitions.grow(9)
    assert transitions.predictability() == transitions.still().predictability()
