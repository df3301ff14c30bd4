"""How much what is expected of any agent weighs against an agent's own counts."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from test_habits import fitted

from radixdeck.policies.reuse.habits import Habits
from radixdeck.policies.reuse.liveness import Gaps
from radixdeck.policies.reuse.pairs import NOWHERE
from radixdeck.policies.reuse.transitions import ANSWER, TOOL, Transitions
from radixdeck.policies.reuse.weights import AGENT, FADE, FINISH, LEAST, MOST, MOST_NOTED, Weighing, Weights

AGENTS = 12
PLAIN = Weights(1.0, 0.5)


def weighed(stays: Callable[[int, int], float], moves: int = 800) -> Weights:
    """What was learned where sessions stay so often, by agent and finish."""
    rng, transitions = np.random.default_rng(5), Transitions()
    transitions.grow(AGENTS)
    for _ in range(moves):
        agent, finish = int(rng.integers(AGENTS)), int(rng.integers(2))
        after = agent if rng.random() < stays(agent, finish) else (agent + 1) % AGENTS
        transitions.moved(finish, NOWHERE, agent, after)
    return transitions.weighing.now


def counted(agents: int, *moves: tuple[int, int, int]) -> Transitions:
    """Each move twenty times, in turn: how a response finished, of which agent, and who was next."""
    transitions = Transitions()
    transitions.grow(agents)
    for finish, before, after in 20 * moves:
        transitions.moved(finish, NOWHERE, before, after)
    return transitions


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
    before, stayed = weighing._told.copy(), [share.mean for share in weighing._stays]
    assert stayed[ANSWER] != pytest.approx(stayed[TOOL], rel=0.05), "both finishes were learned"
    for _ in range(MOST_NOTED):
        weighing.see(TOOL, (3.0, 1.0), (4.0, 5.0), stays=True)
    overall = sum(stayed) / 2
    for (of_all, of_one), more in zip(told, weighing._told - FADE * before, strict=True):
        own = (4.0 + of_all * overall) / (9.0 + of_all)
        odds = own / (1 - own) * (stayed[TOOL] / (1 - stayed[TOOL])) / (overall / (1 - overall))
        likely = (1.0 + of_one * odds / (1 + odds)) / (5.0 + of_one)
        assert more == pytest.approx(MOST_NOTED * math.log(likely), rel=1e-3)


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
    transitions = counted(3, (ANSWER, 0, 1), (ANSWER, 1, 0))
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


def test_who_was_never_seen_is_expected_to_be_as_any_whatever_that_weighs():
    transitions = counted(4, (ANSWER, 0, 1), (TOOL, 1, 1))
    for _ in range(20):
        transitions.ended(ANSWER, 1)
    by_weights: list[list[float]] = []
    for weights in (PLAIN, Weights(30.0, 8.0)):
        habits = Habits(transitions.counts(), transitions.marginal(), 0.6, weights)
        ends, moving = habits.after(transitions.of(3, 4), np.array([3]))
        by_weights.append([*ends[:, 0].tolist(), *moving[:, 0].ravel().tolist()])
    assert by_weights[1] == pytest.approx(by_weights[0], rel=5e-3)
    assert sum(by_weights[0][3:7]) < 0.95, "strangers included"


def test_what_follows_an_agent_is_by_the_weights_that_were_learned():
    rng, transitions, gaps = np.random.default_rng(9), Transitions(), Gaps()
    transitions.grow(AGENTS)
    gaps.grow(AGENTS)
    for _ in range(600):
        agent = int(rng.integers(AGENTS))
        transitions.moved(ANSWER, NOWHERE, agent, agent if rng.random() < 0.4 else (agent + 1) % AGENTS)
    transitions.ended(ANSWER, 0)
    tables = fitted(transitions, gaps)
    by_learned, by_none = (
        Habits(transitions.counts(), transitions.marginal(), transitions.met.mean, weights).after(
            transitions.of(0, AGENTS), np.array([0])
        )[1][:, 0]
        for weights in (transitions.weighing.now, PLAIN)
    )
    told = tables.after(tables.leaving(0)).agents
    assert told == pytest.approx(by_learned, rel=1e-3, abs=1e-5)
    assert abs(told - by_none).max() > 0.02


def test_what_half_precision_does_not_hold_is_cut():
    """Nobody ends after an answer, one after a tool call, and weights and counts are as large as they get."""
    agents, counts = 64, np.zeros((2, 64, 65), np.float32)
    for agent in range(agents):
        counts[ANSWER, agent, agent + 1], counts[ANSWER, agent, (agent + 1) % agents + 1] = 150.0, 350.0
    counts[TOOL, 0, 0] = 1.0
    marginal = (counts.sum((0, 1)) + 1 / 65) / (counts.sum() + 1)
    habits = Habits(counts, marginal, 1.0, Weights(max(AGENT), max(FINISH)))
    ends, moving = habits.after(counts.transpose(1, 0, 2)[:4].astype(np.float16).tobytes(), np.arange(4))
    assert np.isfinite(ends).all()
    assert np.isfinite(moving).all()
