"""Whether a session is over: told or not, by agent, turns and last words, however long it runs and pauses."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from test_reuse import step

from radixdeck.policies.reuse.model import ReuseModel
from radixdeck.policies.reuse.standing import MAX_SESSIONS
from radixdeck.policies.reuse.transitions import ANSWER


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


def test_sessions_that_had_to_make_room_are_taken_for_ended():
    def alive(come_back: bool) -> float:
        model, now_s = ReuseModel(), 0.0
        for number in range(2 * MAX_SESSIONS):
            step(model, f"s{number}", "a", now_s)
            if come_back and number >= 50:
                step(model, f"s{number - 50}", "a", now_s)
            now_s += 0.02
        step(model, "last", "a", now_s)
        rates = model.rates(now_s + 0.3)
        assert rates is not None
        return float(rates.alive[model.standing.by_name["last"].place])

    assert alive(come_back=False) < 0.2
    assert alive(come_back=True) > 0.8


@pytest.mark.parametrize("last_of", [2, 4, 8])
def test_ends_are_counted_before_sessions_have_been_idle_for_long(last_of: int):
    """One question in `last_of` is a session's last, and nobody says so; the next one comes a second after an answer.
    After five seconds no session was idle for long enough to be taken for ended."""
    rng, model, due = np.random.default_rng(2), ReuseModel(), list[tuple[float, str]]()
    for number in range(120):
        now_s, name = number / 25, f"s{number}"
        if due and due[0][0] <= now_s:
            name = due.pop(0)[1]
        step(model, name, "a", now_s)
        if rng.random() > 1 / last_of:
            due.append((now_s + 1.0, name))
    rates = model.rates(now_s)
    assert rates is not None
    assert 1 - float(rates.alive[model.standing.by_name[name].place]) == pytest.approx(1 / last_of, rel=0.5)


def test_ends_are_learned_where_pauses_are_long_and_sessions_many():
    """Three sessions a second begin; one in eight has a second turn, after 20 to 180 s, and of those four in five have
    each further one. While one of them pauses hundreds of others begin."""
    rng, model = np.random.default_rng(3), ReuseModel()
    due = [(number / 3, f"s{number}", 1 / 8) for number in range(2400)]
    for _ in range(2400):
        now_s, name, goes_on = heapq.heappop(due)
        step(model, name, "a", now_s)
        if rng.random() < goes_on:
            heapq.heappush(due, (now_s + rng.uniform(20, 180), name, 0.8))
    rates = model.rates(now_s + 1.0)
    assert rates is not None
    alive: dict[bool, list[float]] = {True: [], False: []}
    for session in model.standing.by_name.values():
        if now_s - session.since_s < 20:
            alive[session.turn == 0].append(float(rates.alive[session.place]))
    assert np.mean(alive[True]) == pytest.approx(1 / 8, abs=0.06)
    assert np.mean(alive[False]) == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize(("run_s", "pause_s", "told"), [(60, 0.5, True), (0.5, 60, True), (0.5, 60, False)])
def test_ends_are_learned_of_an_agent_however_long_its_runs_and_pauses_take(run_s: float, pause_s: float, told: bool):
    """Four sessions a second begin, and one response in five is their last, which is told at once or never."""
    rng, model = np.random.default_rng(4), ReuseModel()
    due = [(number / 4, f"s{number}", "asks") for number in range(1500)]
    while due[0][0] < 1500 / 4:
        now_s, name, what = heapq.heappop(due)
        if what == "asks":
            model.dispatched(name, "a", 500, now_s)
            heapq.heappush(due, (now_s + run_s * rng.uniform(0.8, 1.2), name, "is answered"))
        elif what == "ends":
            model.ended(name, True, now_s)
        else:
            model.responded(name, now_s)
            if rng.random() < 0.8:
                heapq.heappush(due, (now_s + pause_s * rng.uniform(0.5, 1.5), name, "asks"))
            elif told:
                heapq.heappush(due, (now_s + 0.2, name, "ends"))
    assert model.tables is not None
    assert model.tables.ends_of([model.agents["a"]])[0][ANSWER] == pytest.approx(0.2, abs=0.07)


def test_an_answer_that_closes_is_believed_as_often_as_the_session_was_over():
    def alive(over: bool) -> float:
        model, now_s = ReuseModel(), 0.0
        for number in range(40):
            for turn in range(3):
                now_s = step(model, f"s{number}", "a", now_s)
                model.finished_with(f"s{number}", "a", ANSWER, closes=turn == (2 if over else 1))
            model.ended(f"s{number}", told=False, now_s=now_s + 50.0)
        step(model, "last", "a", now_s)
        model.finished_with("last", "a", ANSWER, closes=True)
        rates = model.rates(now_s + 0.3)
        assert rates is not None
        return float(rates.alive[model.standing.by_name["last"].place])

    assert alive(over=True) < 0.15
    assert alive(over=False) > 0.8
