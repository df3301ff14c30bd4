"""What pauses are expected after an agent of which few are known."""

from __future__ import annotations

import numpy as np
import pytest

from radixdeck.policies.reuse.liveness import BINS, EXPECTED_WEIGHT, Gaps, bin_of
from radixdeck.policies.reuse.pauses import Pauses
from radixdeck.policies.reuse.transitions import ANSWER, FINISHES, TOOL

AGENTS = 12


def told(medians_s: np.ndarray, times: int, sigma: float = 0.6, seed: int = 3) -> Gaps:
    """So many pauses after each agent, log-normal about the agent's own median."""
    rng, gaps = np.random.default_rng(seed), Gaps()
    gaps.grow(len(medians_s))
    for _ in range(times):
        for agent, median_s in enumerate(medians_s):
            gaps.came_back(TOOL, agent, float(median_s * np.exp(sigma * rng.standard_normal())))
    gaps.fit()
    return gaps


def shape(gaps: Gaps, agent: int, finish: int = TOOL) -> np.ndarray:
    (found,) = gaps.shapes(np.array([finish]), np.array([agent]))
    assert found.sum() == pytest.approx(1.0, abs=2e-3)
    assert (found >= 0.0).all()
    return found


def middle(of: np.ndarray) -> float:
    return float(of @ np.arange(BINS))


def test_agents_that_differ_are_told_apart_by_a_few_pauses():
    medians_s = np.geomspace(0.5, 60.0, AGENTS)
    few, many = told(medians_s, 4), told(medians_s, 90, seed=9)
    wrong = [np.abs(shape(few, agent) - shape(many, agent)).sum() for agent in range(AGENTS)]
    assert np.mean(wrong) < 0.6, "0.78 where the pauses of all are taken for an agent's until its own outweigh them"
    middles = [middle(shape(few, agent)) for agent in range(AGENTS)]
    assert middles == pytest.approx([bin_of(median_s) for median_s in medians_s], abs=1.5)


def test_agents_that_are_alike_stay_so_though_one_had_a_long_pause():
    gaps = told(np.full(AGENTS, 3.0), 10)
    gaps.came_back(TOOL, 0, 100.0)
    gaps.fit()
    one_more = 1.0 / (11 + EXPECTED_WEIGHT) * (bin_of(100.0) - bin_of(3.0))
    assert middle(shape(gaps, 0)) - middle(shape(gaps, 1)) < one_more + 0.6


def test_a_single_agent_has_the_histogram_that_was_seen():
    """People answer at once or after a while: its two humps are not smoothed into one."""
    gaps = Gaps()
    gaps.grow(1)
    for number in range(200):
        gaps.came_back(ANSWER, 0, 0.2 if number % 2 else 40.0)
    gaps.fit()
    found = shape(gaps, 0, ANSWER)
    assert found[bin_of(0.2)] + found[bin_of(40.0)] > 0.97
    assert found[bin_of(0.2)] == pytest.approx(0.5, abs=0.05)


def test_of_an_agent_without_pauses_what_all_are_like_is_expected():
    gaps = told(np.geomspace(0.5, 60.0, AGENTS), 4)
    gaps.grow(AGENTS + 8)
    unknown = shape(gaps, AGENTS + 1)
    assert np.abs(unknown - sum(shape(gaps, agent) for agent in range(AGENTS)) / AGENTS).sum() < 0.25
    gaps.forget(0)
    assert shape(gaps, 0) == pytest.approx(unknown, abs=1e-3)


def test_agents_that_are_slow_more_or_less_often_are_not_expected_in_between():
    """Their tools answer at once or time out: no pause lasts as long as the mean of both."""
    rng, gaps = np.random.default_rng(8), Gaps()
    gaps.grow(AGENTS)
    for agent, often in enumerate(np.linspace(0.05, 0.95, AGENTS)):
        for _ in range(8):
            gaps.came_back(TOOL, agent, 40.0 if rng.random() < often else 0.2)
    gaps.fit()
    between = [shape(gaps, agent)[bin_of(0.2) + 2 : bin_of(40.0) - 1].sum() for agent in range(AGENTS)]
    assert max(between) < 0.02, "0.2 to 0.4 where each one's middle is believed"


def test_one_agent_alone_does_not_tell_how_far_agents_differ():
    gaps = told(np.array([3.0, 60.0]), 50)
    gaps.forget(1)  # of which all pauses together still tell
    gaps.fit()
    unknown = middle(shape(gaps, 1))
    gaps.came_back(TOOL, 1, 600.0)
    one_more = 1.0 / (1 + EXPECTED_WEIGHT) * (bin_of(600.0) - bin_of(3.0))
    assert middle(shape(gaps, 1)) - unknown < one_more + 0.6


@pytest.mark.parametrize("gap_s", [0.0, 1e6])
def test_what_is_moved_beyond_the_scale_stays_at_its_end(gap_s: float):
    gaps = told(np.full(AGENTS, 3.0), 20)
    for _ in range(60):
        gaps.came_back(TOOL, 0, gap_s)
    gaps.fit()
    assert shape(gaps, 0).argmax() == bin_of(gap_s)
    assert shape(gaps, 0)[bin_of(gap_s)] > 0.6


def test_before_a_fit_and_without_pauses_all_is_as_overall():
    counts, overall = np.zeros((FINISHES, 3, BINS), np.float32), np.full((FINISHES, BINS), 1 / BINS, np.float32)
    pauses, everyone = Pauses(BINS), np.arange(FINISHES)
    assert pauses.expected(everyone, counts[:, 0]) == pytest.approx(overall)
    pauses.fit(counts, overall)
    assert pauses.expected(everyone, counts[:, 0]) == pytest.approx(overall)
