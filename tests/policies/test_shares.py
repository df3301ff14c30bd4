"""Running means: what is expected of those of whom little was seen."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from radixdeck.policies.shares import LONGEST_WEIGHT, Shares


def test_of_a_new_agent_is_expected_what_new_agents_did():
    shares = Shares(prior=1.0)
    assert shares[7] == 1.0
    for agent in range(3 * LONGEST_WEIGHT):
        shares.see(agent, 0.2)
    assert shares[99] == pytest.approx(0.2, abs=0.02)
    for _ in range(100):
        shares.see(0, 0.9)
    assert shares[99] == pytest.approx(0.2, abs=0.15), "however much one of them does"
    assert shares[0] == pytest.approx(0.9, abs=0.02)


def test_an_agent_is_known_for_itself_whatever_others_do():
    shares = Shares(prior=0.5)
    for _ in range(3 * LONGEST_WEIGHT):
        shares.see(5, 1.0)
    for agent in range(6, 40):
        shares.see(agent, 0.0)
    assert shares[5] == pytest.approx(1.0, abs=0.03)
    assert shares[2] < 0.2, "nothing was seen of it"
    assert shares.first(42) == pytest.approx([shares[agent] for agent in range(42)])


def test_whoever_takes_over_a_slot_is_new():
    shares = Shares(prior=0.5)
    for _ in range(3 * LONGEST_WEIGHT):
        shares.see(0, 1.0)
        shares.see(1, 0.0)
    shares.forget(0)
    shares.forget(9)
    assert shares[0] == shares[9]
    shares.see(0, 0.0)
    assert shares[0] < 0.5
