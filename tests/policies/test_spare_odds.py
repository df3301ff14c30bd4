"""What warm-ups of any size take at one moment, and whether they are left alone for so long."""

from __future__ import annotations

from radixdeck.policies.ahead.spare_time import EDGES_S, Odds, SpareTime


def test_the_odds_of_a_moment_are_those_of_each_step_alone():
    spare = SpareTime()
    for pause_s in (0.02, 0.4, 10.0):
        spare.pauses.see(pause_s)
    odds = Odds(spare, 0.01)
    for tokens in (128, 2048, 128):
        took_s, quiet = odds.of(tokens)
        assert took_s == spare.overhead_s + tokens * spare.token_s
        assert quiet == spare.pauses.quiet(0.01, took_s)


def test_a_pause_is_as_long_as_its_bin_and_no_longer():
    spare = SpareTime()
    spare.pauses.see(EDGES_S[3])
    low_s, high_s = EDGES_S[2], EDGES_S[3]
    assert spare.pauses.quiet(0.0, low_s) == 0.5
    assert 0.24 < spare.pauses.quiet(0.0, (low_s + high_s) / 2) < 0.26
    assert spare.pauses.quiet(0.0, high_s) == 0.0
    assert spare.pauses.quiet(0.0, 2 * EDGES_S[-1]) == 0.0
