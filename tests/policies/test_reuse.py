"""The numbers under kv_caching: transitions, gaps, first passages and rates, against chains whose answers are known."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from radixdeck.policies.reuse.liveness import BINS, CENTRES_S, HIGH_S, LOW_S, RATIO, TAIL_S, Gaps, Residual, bin_of
from radixdeck.policies.reuse.model import MAX_AGENTS, ReuseModel
from radixdeck.policies.reuse.standing import GROWTH, MAX_SESSIONS
from radixdeck.policies.reuse.transitions import ANSWER, first_passage


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
    gaps.fit()
    shapes = gaps.shapes(np.array([0, 0, 0]), np.array([0, 0, 0]))
    survival, rest = Residual(shapes, 0.1).after(np.array([0.0, 1.5, 50.0]))
    assert survival[0] == pytest.approx(1.0, abs=0.05)
    assert survival[0] > survival[1] > survival[2]
    assert 0.5 < rest[0] < rest[1] <= 1.0
    assert 1.0 < gaps.longest_s() < 10.0


def test_the_rest_of_a_gap_is_that_of_the_bins_that_are_left():
    shapes = np.random.default_rng(5).dirichlet(np.ones(BINS), 7).astype(np.float32)
    idle_s = np.array([0.0, 0.03, HIGH_S[3], 0.9, 7.0, 40.0, TAIL_S])
    survival, rest = Residual(shapes, 0.02).after(idle_s)
    from_s = np.clip(idle_s[:, None], LOW_S, HIGH_S)
    left = shapes * (HIGH_S - from_s) / (HIGH_S - LOW_S)
    discounts = np.exp(-0.02 * np.maximum(0.0, 0.5 * (from_s + HIGH_S) - idle_s[:, None]))
    discounts[:, -1] = np.exp(-0.02 * (TAIL_S - idle_s)) / (1.0 + 0.02 * (RATIO - 1.0) * TAIL_S)
    assert survival == pytest.approx(left.sum(1), abs=1e-6)
    assert rest * survival == pytest.approx((left * discounts).sum(1), abs=1e-6)


def test_a_session_that_is_idle_for_longer_than_any_bin_is_worth_less_and_less_but_never_nothing():
    idle_s = np.geomspace(0.5 * TAIL_S, 1e6, 60)
    shapes = np.full((60, BINS), 1 / BINS, np.float32)
    survival, rest = Residual(shapes, 1e-3).after(idle_s)
    worth = survival * rest
    assert (np.diff(worth) < 0.0).all()
    assert worth[-1] > 0.0
    assert (worth[1:] / worth[:-1]).min() > 0.4, "it falls without a step"


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


def test_a_pause_is_learned_however_many_sessions_pause_at_once():
    """Sixty sessions of ten quick turns and a pause of a minute, again and again: none of them ever ends."""
    model, pause_s = ReuseModel(), 60.0
    due = [(number * pause_s / 60, f"s{number}", 1) for number in range(60)]
    for _ in range(6000):
        now_s, name, turn = heapq.heappop(due)
        step(model, name, "a", now_s)
        heapq.heappush(due, (now_s + (pause_s if turn == 10 else 0.5), name, 1 if turn == 10 else turn + 1))
    assert set(model.standing.by_name) == {name for _, name, _ in due}


@pytest.mark.parametrize("run_s", [30.0, 200.0])
def test_who_runs_is_not_taken_for_ended_however_short_the_pauses_are(run_s: float):
    """Answers take far longer than any pause between a response and the next request."""
    model = ReuseModel()
    due = [(number * run_s / 40, number, False) for number in range(40)]
    for event in range(2000):
        now_s, number, running = heapq.heappop(due)
        if running:
            model.responded(f"s{number}", now_s)
        else:
            model.dispatched(f"s{number}", f"a{number % 4}", 100, now_s)
        heapq.heappush(due, (now_s + (0.5 if running else run_s), number, not running))
        if event > 400:  # until the first responses nothing tells how long requests run
            assert len(model.standing.by_name) == 40


def test_who_was_taken_for_ended_and_yet_ran_is_back_with_its_response():
    model = ReuseModel()
    for step in range(400):
        model.dispatched("s", "a", 100, step * 1.0)
        model.responded("s", step + 0.5)
    model.dispatched("long", "a", 100, 400.0)
    for step in range(401, 600):
        model.dispatched("s", "a", 100, step * 1.0)
        model.responded("s", step + 0.5)
    assert list(model.standing.by_name) == ["s"]
    model.responded("long", 600.0)
    assert model.standing.by_name["long"].running == 0
    assert model.standing.by_name["long"].since_s == 600.0


def test_one_of_two_responses_brings_a_session_back_that_was_taken_for_ended():
    """It runs on; its place may be a new one, behind all that the rates so far have a row of."""
    model = ReuseModel()
    for _ in range(2):
        model.dispatched("long", "a", 100, 0.0)
    for step in range(1, 300):
        model.dispatched("s", "a", 100, step * 1.0)
        model.responded("s", step + 0.5)
    assert list(model.standing.by_name) == ["s"]
    for number in range(7):
        model.dispatched(f"more {number}", "a", 100, 300.0)
    assert model.rates(300.0) is not None
    model.responded("long", 300.0)
    session = model.standing.by_name["long"]
    rates = model.rates(300.0)
    assert rates is not None
    assert session.running == 1
    assert session.place == len(rates.by_session) - GROWTH
    assert rates.by_session[session.place].sum() > 0.0


def with_one_response_lost(lost: int, every_s: float, runs_s: float) -> ReuseModel:
    """Two hundred turns of one session."""
    model = ReuseModel()
    for step in range(200):
        model.dispatched("s", "a", 100, step * every_s)
        if step != lost:
            model.responded("s", step * every_s + runs_s)
    return model


def test_no_pause_is_learned_of_a_request_that_was_not_over():
    assert with_one_response_lost(20, every_s=4.0, runs_s=1.0).gaps.longest_s() > 3.0


def test_pauses_are_learned_though_one_response_was_never_told():
    """A request that was aborted: nobody tells that it is over, and its session goes on."""
    model = with_one_response_lost(100, every_s=20.0, runs_s=0.5)
    assert model.standing.by_name["s"].running == 0
    assert model.gaps.longest_s() == pytest.approx(20.0, rel=0.4)


def test_a_session_whose_response_never_came_is_taken_for_ended_in_the_end():
    model = ReuseModel()
    model.dispatched("lost", "a", 100, 0.0)
    for step in range(400):
        model.dispatched("s", "a", 100, step * 1.0)
        model.responded("s", step + 0.5)
        assert "lost" in model.standing.by_name or step > 50
    assert list(model.standing.by_name) == ["s"]
