"""What a step of speculation is worth: what it saves and what it may cost, by what was learned; and who comes first."""

from __future__ import annotations

import pytest
from test_speculation import asks, carried_out, evicted, taught, wanted

from radixdeck.policies.primitives import Prediction
from radixdeck.policies.speculation import MOST_CANDIDATES


def test_it_saves_as_much_as_is_likely_of_use_and_delays_whoever_comes_by_half_of_it_on_the_mean():
    policy = taught()
    assert wanted(policy, evicted()) != []
    told = policy.tells()
    prefill_s = told["tokens"] / told["prefill_tokens_per_s"]
    assert 0 < told["quiet"] < 1 > told["useful"] > 0
    assert told["saves_s"] == pytest.approx(told["chance"] * told["useful"] * told["quiet"] * prefill_s)
    assert told["delays_s"] == pytest.approx((1 - told["quiet"]) * (told["overhead_s"] + prefill_s) / 2)


def test_what_a_step_takes_beside_its_tokens_is_learned():
    policy = taught()
    (action,) = wanted(policy, evicted(), after_s=0.02)
    carried_out(policy, action, 500)  # begins at 0.06
    assert policy.tells()["overhead_s"] == pytest.approx(0.04)


def test_of_more_than_are_weighed_the_likeliest_are():
    policy, names = taught(), [f"agent{number}" for number in range(2 * MOST_CANDIDATES)]
    for number, name in enumerate(names):
        asks(policy, 100 + number, name, 1020.0 + 21 * number, session=name)
        policy.observe(evicted(name, start=0, role="anchor", session=""))
    survival = {name: 0.5 + 0.01 * number for number, name in enumerate(names)}
    policy.foresee(Prediction(survival=survival, dispatches=100))
    (action,) = wanted(policy, after_s=21.0 * len(names))
    assert action.agent == names[-1]
