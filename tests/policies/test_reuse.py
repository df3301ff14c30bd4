"""The numbers under kv_caching: transitions, gaps, first passages and rates, against chains whose answers are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from radixdeck.policies.habits import Habits
from radixdeck.policies.liveness import BINS, CENTRES_S, Gaps, bin_of, residual
from radixdeck.policies.pairs import LEAST_WEIGHT, NOWHERE, Pairs, back_of
from radixdeck.policies.reuse import MAX_AGENTS, ReuseModel
from radixdeck.policies.standing import MAX_SESSIONS, Session
from radixdeck.policies.tables import Tables
from radixdeck.policies.transitions import ANSWER, FINISHES, TOOL, Floats, Transitions, first_passage


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


def after(transitions: Transitions, agent: int) -> tuple[Floats, Floats]:
    """Probability of an end `[finish]`, and of each next agent `[finish, next]`, after a response of the agent."""
    habits = Habits(transitions.counts(), transitions.marginal(), transitions.met.mean)
    ends, moving = habits.after(transitions.of(agent, transitions.agents), np.array([agent]))
    return ends[:, 0], moving[:, 0]


def test_probabilities_sum_to_one_and_follow_what_was_seen():
    transitions = taught((0, 1, 2))
    following = transitions.following()
    assert following.sum(1) == pytest.approx(1.0, rel=1e-5)
    assert following[0, 1 + 1] > 0.9
    assert following[2, 0] > 0.9
    assert transitions.first() == pytest.approx([1, 0, 0], abs=0.05)


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
    transitions = taught((0, 1, 0, 1))
    transitions.forget(1)
    following = transitions.following()
    assert following[0, 2] < 0.4
    assert following[1] == pytest.approx(following[1].mean(), abs=0.5)


def test_first_passage_of_a_cycle_is_the_discount_to_the_power_of_the_steps():
    step = 0.5 * np.roll(np.eye(4), 1, axis=1)
    passage = first_passage(step)
    assert passage[0] == pytest.approx([0.5**4, 0.5, 0.5**2, 0.5**3], rel=1e-5)


def test_first_passage_agrees_with_walking_the_chain():
    rng = np.random.default_rng(3)
    step = rng.random((3, 3))
    step *= 0.8 / step.sum(1, keepdims=True)
    expected = np.zeros((3, 3))
    for target in range(3):
        value = np.zeros(3)
        for _ in range(500):
            value = step @ np.where(np.arange(3) == target, 1.0, value)
        expected[:, target] = value
    assert first_passage(step) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("gap_s", [0.0, 0.05, 0.06, 1.0, 33.0, 1e9])
def test_every_gap_falls_in_a_bin_near_it(gap_s: float):
    assert 0 <= bin_of(gap_s) < BINS
    if 0.05 < gap_s < 100:
        assert CENTRES_S[bin_of(gap_s)] == pytest.approx(gap_s, rel=0.35)


def test_the_longer_a_session_is_idle_the_less_likely_it_comes_back():
    gaps = Gaps()
    gaps.grow(1)
    for number in range(100):
        gaps.came_back(ANSWER, 0, 0.5 + number % 10 / 5)
    shapes = gaps.shapes(np.array([0, 0, 0]), np.array([0, 0, 0]))
    survival, rest = residual(shapes, np.array([0.0, 1.5, 50.0]), 0.1)
    assert survival[0] == pytest.approx(1.0, abs=0.05)
    assert survival[0] > survival[1] > survival[2]
    assert 0.5 < rest[0] < rest[1] <= 1.0
    assert 1.0 < gaps.longest_s() < 10.0


def test_rates_are_finite_at_any_time_and_fade_with_idleness():
    model = ReuseModel()
    model.turnover.capacity_tokens = 10_000
    for step in range(60):
        model.dispatched("s1", f"agent{step % 3}", 500, float(step))
        model.responded("s1", step + 0.2)
    soon, late = model.rates(60.0), model.rates(1e6)
    assert soon is not None
    assert late is not None
    assert soon.by_session[0].argmax() == model.agents["agent0"]
    assert late.by_session.max() < soon.by_session.max() / 10
    assert np.isfinite(model.rates(-5.0).by_agent).all()  # pyright: ignore[reportOptionalMemberAccess]


def test_agents_and_sessions_beyond_the_limits_take_the_place_of_the_oldest():
    model = ReuseModel()
    for number in range(2 * MAX_SESSIONS):
        model.dispatched(f"s{number}", f"agent{number % 150}", 1, number / 10)
    assert len(model.agents) == MAX_AGENTS
    assert len(model.standing.by_name) <= MAX_SESSIONS
    assert set(model.agents.values()) == set(range(MAX_AGENTS))
    rates = model.rates(60.0)
    assert rates is not None
    assert len(rates.by_agent) == MAX_AGENTS


def step(model: ReuseModel, session: str, agent: str, now_s: float) -> float:
    model.dispatched(session, agent, 500, now_s)
    model.responded(session, now_s + 0.2)
    return now_s + 1.0


def test_where_a_session_came_from_tells_workflows_of_the_same_agents_apart():
    model, now_s = ReuseModel(), 0.0
    for number in range(30):
        for agent in ("a", "x", "p") if number % 2 else ("b", "x", "q"):
            now_s = step(model, f"s{number}", agent, now_s)
        model.ended(f"s{number}", told=True, now_s=now_s)
    for agent in ("a", "x"):
        now_s = step(model, "new", agent, now_s)
    row = model.next_agents(model.standing.by_name["new"])
    assert row[model.agents["p"]] > 0.8
    assert row.sum() == pytest.approx(1.0, rel=1e-4)


def test_a_session_whose_end_would_have_been_told_lives():
    def alive(told: bool) -> float:
        model, now_s = ReuseModel(), 0.0
        for number in range(60):
            for _ in range(1 + number % 2):
                now_s = step(model, f"s{number}", "a", now_s)
            model.ended(f"s{number}", told=told, now_s=now_s - 0.8)
        step(model, "last", "a", now_s)
        rates = model.rates(now_s + 0.3)
        assert rates is not None
        return float(rates.alive[model.standing.by_name["last"].place])

    assert alive(told=True) > 0.9
    assert alive(told=False) < 0.6


def test_a_hint_is_believed_until_hints_prove_wrong():
    model, now_s = ReuseModel(), 0.0
    for _ in range(20):
        for agent in ("a", "b", "c"):
            now_s = step(model, "s", agent, now_s)
    session = model.standing.by_name["s"]
    assert model.next_agents(session).argmax() == model.agents["a"]
    model.hinted("s", "b")
    assert model.next_agents(session).argmax() == model.agents["b"]
    for agent in "abc" * 10:
        model.hinted("s", "b" if agent == "c" else "c")
        now_s = step(model, "s", agent, now_s)
    model.hinted("s", "c")
    assert model.next_agents(session).argmax() == model.agents["a"]
    model.hinted("s", "nobody")
    model.hinted("never", "a")


def test_a_session_that_was_taken_for_ended_is_known_when_it_comes_back():
    model, now_s = ReuseModel(), 0.0
    for number in range(40):
        now_s = step(model, "busy", "ab"[number % 2], now_s)
    step(model, "away", "b", now_s)
    for number in range(40):
        now_s = step(model, "busy", "ab"[number % 2], now_s + 5.0)
    assert "away" not in model.standing.by_name
    began = model.turnover.sessions_per_s
    step(model, "away", "a", now_s)
    session = model.standing.by_name["away"]
    assert (session.turn, session.came_from) == (1, model.agents["b"])
    assert model.turnover.sessions_per_s <= began, "it is not a new one"


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
    transitions, gaps = taught((0, 1, 2, 3, 4)), Gaps()
    gaps.grow(5)
    transitions.pairs = chain(1, 1, 1, 0)
    tables = Tables(transitions, gaps, np.full(5, 0.3, np.float32), 0.1, True)
    session = Session(agent=3, since_s=0.0, place=0, came_from=2, running=0)
    onward = tables.onward(session, tables.stood(session))
    assert 0.03 < onward[2] < 0.2
    assert onward[4] > 0.75
    assert onward.sum() == pytest.approx(1.0, abs=1e-3)
    session.running = 1
    assert 0.03 < tables.onward(session, tables.stood(session))[2] < 0.2


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
    run_s = np.full(2, 0.3, np.float32)
    tables = Tables(transitions, gaps, run_s, 0.1, True)
    kept, known = tables.leaving(0), Tables(transitions, gaps, run_s, 0.1, True).leaving(0)
    Tables(transitions, gaps, run_s, 0.1, True).prepare([known])
    expected = known.onward
    tables.changing(0)
    transitions.moved(ANSWER, NOWHERE, 0, 0)
    ends = tables.ends([kept])[kept]
    assert list(ends) == list(tables.after(kept).ends[:2])
    assert expected is not None
    assert (tables.after(kept).agents == expected.agents).all()
    assert not (tables.after(tables.leaving(0)).agents == expected.agents).all()
