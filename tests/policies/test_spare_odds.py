"""What warm-ups of any size take at one moment, and whether they are left alone for so long."""

from __future__ import annotations

from radixdeck.policies.ahead.spare_time import EDGES_S, Odds, SpareTime
from radixdeck.policies.events import EngineLoadSampled, PrefixMatched

S = 10**9


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


def test_a_request_whose_end_was_lost_is_over_once_the_engine_runs_nothing():
    spare, load = SpareTime(), {"used_tokens": 0, "evictable_tokens": 0, "capacity_tokens": 9}
    spare.observe(PrefixMatched(t_ns=1 * S, rid="r", agent="a", session="s", prompt_tokens=9, cached_tokens=0))
    spare.observe(EngineLoadSampled(t_ns=2 * S, running=1, waiting=0, **load))
    assert spare.idle_s(7.0) == 0.0
    for at_s in (3, 5):
        spare.observe(EngineLoadSampled(t_ns=at_s * S, running=0, waiting=0, **load))
    assert spare.idle_s(7.0) == 4.0, "since it was first said"
