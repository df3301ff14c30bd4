"""Admission: whole sessions come in as long as they fit, the longest wait goes next, and nobody who is in is held."""

from __future__ import annotations

import pytest
from crowd import Crowd, started

from radixdeck.policies.admission import Admission
from radixdeck.policies.doorkeeping import PASS, Asked, Doorkeeper, Matched
from radixdeck.policies.events import SessionEnded
from radixdeck.policies.primitives import Policy


def test_it_keeps_the_contract() -> None:
    policy = Admission()
    assert isinstance(policy, Policy)
    assert isinstance(policy, Doorkeeper)
    assert not policy.fails_closed


def test_sessions_come_in_until_they_fill_the_cache_and_then_wait_whole() -> None:
    b = Crowd()
    for name in ("one", "two"):
        b.turn(name, 400)
    third = b.come("three", 400)
    verdict = b.policy.admit(third, 0.0)
    assert verdict.kind == "hold"
    assert verdict.why == "2 sessions that are in need 800 of 1,000 tokens, 1 wait"
    assert b.passes(b.come("one", 500))  # who is in is never held
    assert b.inside == {"one", "two"}


def test_who_fits_is_not_kept_back_for_one_that_does_not() -> None:
    b = Crowd(longest_wait_s=20.0, pause_s=1_000.0)
    b.turn("one", 900)
    large, small = b.come("large", 800), b.come("small", 50)
    assert [b.passes(large), b.passes(small)] == [False, True]
    b.enter(small)
    b.now_s = 20.0
    b.enter(large)  # however many go by


def test_who_fits_is_not_kept_back_for_one_that_fits_and_that_another_policy_holds() -> None:
    b = Crowd()
    b.turn("one", 300)
    first, second = b.come("first", 700), b.come("second", 700)
    assert [b.says(first), b.says(second)] == [PASS, PASS]
    b.enter(second)
    assert not b.passes(first)


def test_one_session_is_always_in_however_large_it_is() -> None:
    b = Crowd()
    b.turn("huge", 5_000)
    assert not b.passes(b.come("next"))
    b.policy.observe(SessionEnded(t_ns=1, session="huge"))
    assert b.inside == set()
    b.enter(b.come("other", 9_000))
    assert not b.passes(Asked(rid="r1", agent="a", session="next"))


def test_without_a_size_or_a_session_it_says_nothing() -> None:
    b = Crowd(capacity=0)
    for n in range(50):
        b.turn(f"s{n}", 10_000)
    b = Crowd()
    b.turn("one", 999)
    for n in range(50):
        b.enter(Asked(rid=f"x{n}", agent="a", session="", about_tokens=10_000))
    assert b.inside == {"one"}


def test_an_engine_with_nothing_to_do_takes_the_next_one_whatever_the_room() -> None:
    b = Crowd(busy=1.0)
    b.turn("one", 900)
    second, third = b.come("two", 900), b.come("three", 900)
    b.enter(second)
    assert not b.passes(third)
    b.leave(second, 900)
    b.enter(third)


def test_those_who_cannot_fit_are_held_alike() -> None:
    b = Crowd(foresight=1.0)
    b.turn("one", 600)
    like_it, other = b.come("like it", 100), b.come("other", 100, agent="b")
    assert (b.says(like_it).kind, b.says(like_it).alike) == ("hold", True)
    b.policy.tunables.set("foresight", 0.5)
    assert b.passes(like_it)
    large = b.come("large", 5_000)
    assert (b.says(large).kind, b.says(large).alike) == ("hold", False)
    b.enter(other)
    assert (b.says(like_it).kind, b.says(like_it).alike) == ("hold", True)


def test_what_is_kept_of_silent_sessions_stays_small() -> None:
    b = Crowd(pause_s=0.05)
    b.turn("stays away", 50)
    for n in range(2_000):
        b.turn(f"s{n % 3}", 50)
        b.now_s += 0.00002
    assert len(b.policy.inside._silent) < 100  # pyright: ignore[reportPrivateUsage] - nobody can see it from outside
    assert b.says(b.come("large", 2_000)).until_s == 0.05


def test_the_size_may_be_told_instead() -> None:
    b = Crowd(kv_tokens=200.0)
    b.turn("one", 150)
    assert not b.passes(b.come("two"))
    b.policy.tunables.set("kv_tokens", 0.0)
    assert b.passes(b.come("two"))
    b.policy.observe(started(120))
    assert not b.passes(b.come("two"))


def test_anchors_count_once() -> None:
    b = Crowd()
    for name in ("one", "two"):
        asked = b.enter(b.come(name, 500))
        b.policy.notice(Matched(t_s=0.0, asked=asked, prompt_tokens=500, cached_tokens=0, anchor_tokens=400))
        b.leave(asked, 500)
    assert b.policy.inside.tokens == 400 + 100 + 100
    b.turn("three", 700)
    assert b.policy.inside.tokens == 400 + 100 + 100 + 300
    assert not b.passes(b.come("four", 550))


def test_a_session_takes_what_all_its_agents_hold() -> None:
    b = Crowd()
    b.turn("one", 300, agent="a")
    b.turn("one", 250, agent="b")
    b.turn("one", 350, agent="a")
    assert b.policy.inside.tokens == 600


def test_what_sessions_came_to_is_expected_of_new_ones() -> None:
    b = Crowd(foresight=1.0)
    for tokens in (100, 300, 600):
        b.turn("first", tokens)
    b.policy.observe(SessionEnded(t_ns=1, session="first"))
    b.turn("second", 100)
    assert b.policy.inside.reserved == 600
    assert not b.passes(b.come("third", 100))
    b.policy.tunables.set("foresight", 0.0)
    assert b.passes(b.come("third", 100))


def test_who_is_silent_for_too_long_loses_its_place() -> None:
    b = Crowd(pause_s=10.0)
    b.turn("one", 600)
    b.now_s = 5.0
    b.turn("two", 300)
    third = b.come("three", 600)
    verdict = b.policy.admit(third, 5.0)
    assert (verdict.kind, verdict.until_s) == ("hold", 10.0)
    b.now_s = 10.0
    b.enter(third)
    fourth = b.come("four", 600)
    b.leave(third, 600)
    assert b.inside == {"two", "three"}
    b.now_s = 12.0
    assert not b.passes(b.come("one", 700))  # at the end of the line
    assert b.policy.admit(fourth, 12.0).until_s == 15.0


def test_pauses_are_learned_and_a_session_is_not_waited_for_any_longer() -> None:
    b = Crowd(pause_s=100.0)
    for tokens in range(100, 112):
        b.turn("one", tokens)
        b.now_s += 1.0
    session = b.policy.inside.sessions["one"]
    assert session.last_s is not None
    assert 1.0 <= session.silent_s - session.last_s < 2.0


def test_agents_whose_sessions_never_come_back_keep_no_place() -> None:
    b = Crowd(pause_s=1.0)
    for n in range(20):
        b.turn(f"single-{n}", 300)
        b.now_s += 5.0
    b.turn("last", 300)
    assert b.inside == set()


def test_nobody_waits_for_longer_than_the_bound() -> None:
    b = Crowd(longest_wait_s=20.0, pause_s=1_000.0)
    b.turn("one", 900)
    second, third = b.come("two", 900), b.come("three", 900)
    b.now_s = 19.9
    assert not b.passes(second)
    assert b.policy.admit(third, b.now_s).until_s == 20.0
    b.now_s = 20.0
    b.enter(second)
    b.enter(third)
    assert b.inside == {"one", "two", "three"}


def test_those_that_outgrow_the_room_wait_youngest_first_and_come_back_at_the_head() -> None:
    b = Crowd()
    for n, name in enumerate(("old", "mid", "young")):
        b.now_s = float(n)
        b.turn(name, 300)
    waiting = b.come("waiting", 300)
    assert not b.passes(waiting)
    b.turn("old", 800)
    assert b.inside == {"old", "mid", "young"}
    b.turn("old", 950)
    assert b.inside == {"old"}
    young, mid = b.come("young", 300), b.come("mid", 300)
    assert not b.passes(mid)
    b.policy.observe(SessionEnded(t_ns=1, session="old"))
    assert [b.says(asked).order for asked in (waiting, young, mid)] == [(1.0,), (), ()]
    b.enter(mid)
    b.enter(young)
    assert b.says(waiting) is PASS


def test_who_goes_away_leaves_the_line() -> None:
    b = Crowd()
    b.turn("one", 900)
    first, second = b.come("two", 900), b.come("three", 50)
    b.leave(first, 0, entered=False)
    b.enter(second)
    assert b.inside == {"one", "three"}


def test_requests_from_before_it_was_on_do_no_harm() -> None:
    b = Crowd()
    unknown = Asked(rid="old", agent="a", session="s")
    b.policy.notice(Matched(t_s=1.0, asked=unknown, prompt_tokens=5, cached_tokens=0))
    b.leave(unknown, 700)
    assert b.inside == set()
    assert b.passes(unknown)
    b.turn("s", 100)
    b.leave(unknown, 700)
    assert b.policy.inside.tokens == 100


def test_a_late_word_of_the_engine_does_not_undo_the_answer() -> None:
    b = Crowd()
    asked = b.enter(b.come("one"))
    b.leave(asked, 500)
    b.policy.notice(Matched(t_s=1.0, asked=asked, prompt_tokens=300, cached_tokens=0))
    assert b.policy.inside.tokens == 500


@pytest.mark.parametrize("agent", ["a", "b"])
def test_a_session_that_said_it_was_over_begins_anew(agent: str) -> None:
    b = Crowd()
    asked = b.enter(b.come("one", 400))
    b.policy.observe(SessionEnded(t_ns=1, session="one"))
    assert b.inside == {"one"}  # until its request is through
    b.leave(asked, 400)
    assert b.inside == set()
    b.turn("one", 50, agent=agent)
    assert b.policy.inside.tokens == 50
