"""Patience with sessions that pause: learned for each agent, bounded, and none where nobody ever comes back."""

from __future__ import annotations

import random

import pytest

from radixdeck.policies.door.returns import ENOUGH, LEAST_S, Returns


def after(gaps_s: list[float], agent: str = "a") -> Returns:
    returns = Returns()
    for gap_s in gaps_s:
        returns.came_back(agent, gap_s)
    return returns


def test_until_enough_is_known_patience_is_the_most() -> None:
    assert Returns().patience_s("a", 30.0) == 30.0
    assert after([1.0] * (ENOUGH - 1)).patience_s("a", 30.0) == 30.0
    assert after([1.0] * ENOUGH).patience_s("a", 30.0) < 30.0


@pytest.mark.parametrize("seed", range(3))
def test_nearly_all_pauses_are_waited_for_and_not_for_much_longer(seed: int) -> None:
    chooser = random.Random(seed)
    returns, late = Returns(), 0
    for _ in range(400):
        gap_s = chooser.uniform(0.2, 1.0)
        late += gap_s > returns.patience_s("a", 30.0)
        returns.came_back("a", gap_s)
    assert late <= 4
    assert returns.patience_s("a", 30.0) < 2.5


def test_an_agent_nobody_knows_is_as_the_others_are() -> None:
    returns = after([2.0] * 20)
    assert returns.patience_s("new", 30.0) == returns.patience_s("a", 30.0) < 10.0


def test_agents_are_told_apart() -> None:
    returns = after([0.5] * 20, "quick")
    for _ in range(20):
        returns.came_back("slow", 20.0)
    assert returns.patience_s("quick", 60.0) < 5.0
    assert returns.patience_s("slow", 60.0) >= 20.0
    assert returns.patience_s("slow", 10.0) == 10.0


def test_who_stays_away_is_not_waited_for_until_it_comes_back_again() -> None:
    returns = after([1.0] * 10)
    for _ in range(10):
        returns.stayed_away("a")
    assert returns.patience_s("a", 30.0) == 0.0
    returns.came_back("a", 5.0)
    assert returns.patience_s("a", 30.0) > 0.0


def test_a_clock_that_goes_back_does_no_harm() -> None:
    assert after([-5.0] * 10).patience_s("a", 30.0) == LEAST_S
