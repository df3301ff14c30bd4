"""How much the turn of a session says of its end."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from __future__ import annotations

import math

import numpy as np
import pytest

from radixdeck.policies.reuse.leaving import PLACES, place_of
from radixdeck.policies.reuse.turns import LEARNED, LEAST, TRIED, UNKNOWN, Turns

SHARE = 0.25


def taught(sessions: int, last: int | None) -> Turns:
    """Sessions of four turns at most; `last`: all end there, None: at any turn with SHARE, which is expected."""
    rng, turns = np.random.default_rng(7), Turns()
    for _ in range(sessions):
        for turn in range(4):
            ended = turn == last if last is not None else bool(rng.random() < SHARE)
            turns.passed(place_of(turn, closes=False), SHARE, ended, 1.0)
            if ended:
                break
    return turns


def test_where_turns_tell_nothing_few_of_them_are_not_believed():
    turns = taught(300, last=None)
    assert turns._prior > 30
    assert all(0.6 < ratio < 1.6 for ratio in turns.chances().ratios)


def test_where_turns_tell_all_a_few_are_enough():
    turns = taught(12, last=3)
    assert turns._prior < 4
    *early, last = (turns.chances().ratios[place_of(turn, closes=False)] for turn in range(4))
    assert max(early) < 0.25
    assert last > 8


def test_it_is_by_how_likely_each_weight_made_what_came():
    """By one's own sums, of turns that all weigh one; counts hardly fade in so few."""
    turns, told, counts = Turns(), dict.fromkeys(TRIED, 0.0), np.zeros((PLACES, 3))
    rng = np.random.default_rng(8)
    for _ in range(10):
        place, expected, ended = int(rng.integers(3)), float(rng.uniform(0.05, 0.6)), bool(rng.random() < 0.4)
        number, over, by_agent = counts[place]
        for prior in TRIED:
            few, rest = prior * UNKNOWN, number + prior * (1 - UNKNOWN)
            odds = (over + few) / (rest - over) * (rest - by_agent) / (by_agent + few) * expected / (1 - expected)
            likely = odds / (1 + odds)
            told[prior] = LEARNED * told[prior] + math.log(max(LEAST, likely if ended else 1 - likely))
        turns.passed(place, expected, ended, 1.0)
        counts[place] += 1, ended, expected
    assert list(turns._told) == pytest.approx(list(told.values()), rel=0.03)
    chances = np.exp(list(told.values()))
    assert math.log(turns._prior) == pytest.approx(np.log(TRIED) @ chances / chances.sum(), rel=0.05)


def test_answers_that_close_are_held_against_turns_of_their_own():
    turns = taught(40, last=3)
    ratios = turns.chances().ratios
    for turn in range(4):
        assert ratios[place_of(turn, closes=True)] == pytest.approx(1.0), "none of these closed"
        assert ratios[place_of(turn, closes=False)] != pytest.approx(1.0, rel=0.3)


def test_turns_of_answers_that_close_and_of_others_are_all_apart():
    apart = {place_of(turn, closes=closes) for turn in range(200) for closes in (False, True)}
    assert apart == set(range(PLACES))


def test_what_never_or_always_ends_is_no_certainty():
    for ended in (True, False):
        turns = Turns()
        for _ in range(3000):
            turns.passed(0, 1.0 if ended else 0.0, ended, 1.0)
        ratios = turns.chances().ratios
        assert np.isfinite(ratios).all()
        assert min(ratios) > 0
        assert min(TRIED) <= turns._prior <= max(TRIED) + 1e-6
