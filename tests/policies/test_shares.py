"""Running means: what is expected of those of whom little was seen."""

# pytest leaves `approx` without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from radixdeck.policies.shares import LONGEST_WEIGHT, Shares


def test_of_a_new_agent_is_expected_what_agents_do():
    shares = Shares(prior=1.0)
    assert shares[7] == 1.0
    for _ in range(3 * LONGEST_WEIGHT):
        shares.see(0, 0.2)
    assert shares[0] == pytest.approx(0.2, abs=0.01)
    assert shares[7] == pytest.approx(0.2, abs=0.01)


def test_an_agent_is_soon_known_for_itself():
    shares = Shares(prior=0.5)
    for _ in range(3 * LONGEST_WEIGHT):
        shares.see(0, 1.0)
        shares.see(1, 0.0)
    assert shares[0] > 0.9
    assert shares[1] < 0.1
    assert 0.3 < shares[2] < 0.7
    assert shares.first(4) == pytest.approx([shares[agent] for agent in range(4)])


def test_whoever_takes_over_a_slot_is_new():
    shares = Shares(prior=0.5)
    for _ in range(3 * LONGEST_WEIGHT):
        shares.see(0, 1.0)
        shares.see(1, 0.0)
    shares.forget(0)
    shares.forget(9)
    assert shares[0] == shares[9]
