"""How much what is expected of any agent weighs against an agent's own counts."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from radixdeck.policies.reuse.habits import Habits
from radixdeck.policies.reuse.pairs import NOWHERE
from radixdeck.policies.reuse.transitions import ANSWER, TOOL, Transitions
from radixdeck.policies.reuse.weights import AGENT, FADE, FINISH, LEAST, MOST, MOST_NOTED, Weighing, Weights

AGENTS = 12


def weighed(stays: Callable[[int, int], float], moves: int = 800) -> Weights:
    """What was learned where sessions stay so often, by agent and finish."""
    rng, transitions = np.random.default_rng(5), Transitions()
    transitions.grow(AGENTS)
    for _ in range(moves):
        agent, finish = int(rng.integers(AGENTS)), int(rng.integers(2))
        after = agent if rng.random() < stays(agent, finish) else (agent + 1) % AGENTS
        transitions.moved(finish, NOWHERE, agent, after)
    return transitions.weighing.now


def test_agents_that_are_alike_are_taken_for_the_mean_and_others_for_what_they_are():
    alike, apart = weighed(lambda agent, finish: 0.4), weighed(lambda agent, finish: 0.02 + 0.96 * (agent % 2))
    assert alike.agent > 12
    assert apart.agent < 3
    assert alike.agent > 4 * apart.agent


def test_a_finish_tells_where_agents_differ_in_what_they_do_after_it():
    same = weighed(lambda agent, finish: 0.1 + 0.8 * (agent % 2))
    other = weighed(lambda agent, finish: 0.02 + 0.96 * ((agent + finish) % 2))
    assert same.finish > 8
    assert other.finish < 2


def test_it_is_by_how_likely_each_pair_of_weights_made_what_came():
    rng, weighing, told = np.random.default_rng(6), Weighing(), dict.fromkeys(product(AGENT, FINISH), 0.0)
    expected = 0.3  # of both finishes, before anything was seen
    for _ in range(MOST_NOTED):
        finish, stays = int(rng.integers(2)), bool(rng.random() < 0.5)
        again = [float(count) for count in rng.integers(0, 5, 2)]
        moved = [count + float(more) for count, more in zip(again, rng.integers(0, 5, 2), strict=True)]
        weighing.see(finish, again, moved, stays=stays)
        for of_all, of_one in told:
            own = min(MOST, max(LEAST, (sum(again) + of_all * expected) / (sum(moved) + of_all)))
            likely = (again[finish] + of_one * own) / (moved[finish] + of_one)
            told[of_all, of_one] += math.log(min(MOST, max(LEAST, likely if stays else 1.0 - likely)))
    assert weighing._told == pytest.approx(list(told.values()), rel=1e-4)
    chances = np.exp(np.array(list(told.values())) - max(told.values()))
    mean = np.log([*told]).T @ chances / chances.sum()
    assert weighing.now == pytest.approx(tuple(np.exp(mean)), rel=1e-3)
    before = weighing._told.copy()
    for _ in range(MOST_NOTED):
        weighing.see(ANSWER, (0.0, 0.0), (0.0, 0.0), stays=False)
    more = weighing._told - FADE * before
    assert more == pytest.approx(np.full(len(before), more[0]), rel=1e-4), "who was never seen tells no weights apart"


@pytest.mark.parametrize("stays", [True, False])
def test_what_never_or_always_happens_is_no_certainty(stays: bool):
    weighing = Weighing()
    for seen in range(40 * MOST_NOTED):
        counts = (float(min(seen, 60)), 0.0)
        weighing.see(ANSWER, counts if stays else (0.0, 0.0), counts, stays=stays)
    assert np.isfinite(weighing._told).all()
    assert min(AGENT) <= weighing.now.agent <= max(AGENT) + 1e-3
    assert min(FINISH) <= weighing.now.finish <= max(FINISH) + 1e-3


def test_the_more_it_weighs_the_less_a_few_counts_say():
    transitions = Transitions()
    transitions.grow(3)
    for _ in range(20):
        transitions.moved(ANSWER, NOWHERE, 0, 1)
        transitions.moved(ANSWER, NOWHERE, 1, 0)
    transitions.moved(ANSWER, NOWHERE, 2, 2)

    def stays(weights: Weights) -> float:
        habits = Habits(transitions.counts(), transitions.marginal(), 1.0, weights)
        _, moving = habits.after(transitions.of(2, 3), np.array([2]))
        assert moving[:, 0].sum(-1) == pytest.approx(1.0, abs=2e-3)
        return float(moving[TOOL, 0, 2])

    few = [stays(Weights(weight, 0.5)) for weight in (1.0, 5.0, 30.0)]
    assert few == sorted(few, reverse=True)
    assert few[0] > 0.4
    assert few[-1] < 0.12
