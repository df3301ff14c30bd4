"""What room there is, is learned from what sessions find again; and whatever happens, the counting stays right."""

from __future__ import annotations

import pytest
from crowd import Crowd, started
from hypothesis import given
from hypothesis import strategies as st

from radixdeck.policies.doorkeeping import Asked, Left, Matched
from radixdeck.policies.events import CacheFlushed, SessionEnded


def find_again(b: Crowd, session: str, cached: int, repeated: int = 100, prompt: int = 100) -> None:
    """A request of 100 tokens, of which the engine finds so many in its cache; `repeated`: those it had before."""
    asked = b.enter(b.come(session, prompt))
    told = {"prompt_tokens": prompt, "cached_tokens": cached, "base_tokens": repeated}
    b.policy.notice(Matched(t_s=b.now_s, asked=asked, **told))
    b.leave(asked, prompt)


def test_the_room_grows_while_sessions_find_what_they_left_and_shrinks_when_they_do_not() -> None:
    b = Crowd()
    find_again(b, "one", 0)
    assert b.policy.room_tokens == 1_000  # nobody left anything there yet
    for _ in range(10):
        find_again(b, "one", 90)
    assert b.policy.room_tokens == pytest.approx(1_100)
    find_again(b, "one", 80)
    assert b.policy.room_tokens == pytest.approx(880)
    for _ in range(20):
        find_again(b, "one", 0)
    assert b.policy.room_tokens == 500
    for _ in range(500):
        find_again(b, "one", 100)
    assert b.policy.room_tokens == 3_000


def test_there_is_room_on_every_replica() -> None:
    b = Crowd()
    b.policy.observe(started(1_000, replicas=3))
    assert b.policy.room_tokens == 3_000


def test_what_is_lost_with_an_engine_says_nothing_about_the_room() -> None:
    b = Crowd()
    find_again(b, "one", 0)
    b.policy.observe(started(1_000))
    find_again(b, "one", 0)
    assert b.policy.room_tokens == 1_000
    find_again(b, "one", 0)
    assert b.policy.room_tokens == 800


def test_so_is_what_is_lost_with_a_flush() -> None:
    b = Crowd()
    find_again(b, "one", 0)
    b.policy.observe(CacheFlushed(t_ns=1))
    find_again(b, "one", 0)
    assert b.policy.room_tokens == 1_000


def test_an_agent_that_is_given_something_else_each_time_misses_nothing() -> None:
    b = Crowd()
    for _ in range(5):
        find_again(b, "one", 0, repeated=0)
    assert b.policy.room_tokens == 1_000


def test_one_that_went_on_before_misses_what_it_does_not_find_even_if_nobody_knows_that_it_had_it() -> None:
    b = Crowd()
    for cached in (0, 100):
        find_again(b, "one", cached, repeated=0)
    assert b.policy.room_tokens == pytest.approx(1_010)
    find_again(b, "one", 0, repeated=0, prompt=90)  # shorter: it begins anew
    assert b.policy.room_tokens == pytest.approx(1_010)
    find_again(b, "one", 0, repeated=0)
    assert b.policy.room_tokens == pytest.approx(808)


def test_an_agent_that_is_new_in_a_session_left_nothing_to_find() -> None:
    b = Crowd()
    find_again(b, "one", 0)
    asked = b.enter(b.come("one", 100, agent="b"))
    b.policy.notice(Matched(t_s=b.now_s, asked=asked, prompt_tokens=100, cached_tokens=0))
    assert b.policy.room_tokens == 1_000


def test_an_answer_that_is_left_out_of_the_next_prompt_is_not_missed() -> None:
    b = Crowd()
    for cached in (0, 100):
        asked = b.enter(b.come("one", 100))
        b.policy.notice(Matched(t_s=0.0, asked=asked, prompt_tokens=100, cached_tokens=cached))
        b.policy.notice(Left(t_s=0.0, asked=asked, entered=True, prompt_tokens=100, output_tokens=300))
    assert b.policy.room_tokens == pytest.approx(1_010)


def test_who_had_no_place_meanwhile_says_nothing_about_the_room() -> None:
    b = Crowd(pause_s=1.0)
    find_again(b, "one", 0)
    b.now_s = 50.0
    find_again(b, "other", 0)
    assert b.inside == {"other"}
    find_again(b, "one", 0)
    assert b.policy.room_tokens == 1_000


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "enter", "leave", "go away", "end", "match", "wait"]), st.integers(0, 7)),
    max_size=120,
)


@given(steps=STEPS, sizes=st.lists(st.integers(0, 700), min_size=8, max_size=8))
def test_whatever_happens_who_is_in_passes_what_is_counted_is_there_and_somebody_goes_next(
    steps: list[tuple[str, int]], sizes: list[int]
) -> None:
    b = Crowd(foresight=0.5, pause_s=20.0)
    door: list[Asked] = []
    engine: list[Asked] = []
    for kind, n in steps:
        session, agent = f"s{n}", "ab"[n % 2]
        match kind:
            case "come":
                door.append(b.come(session, sizes[n], agent))
            case "enter":
                for asked in [asked for asked in door if b.passes(asked)][:1]:
                    door.remove(asked)
                    engine.append(b.enter(asked))
            case "leave" if engine:
                b.leave(engine.pop(n % len(engine)), sizes[n] + 50)
            case "go away" if door:
                b.leave(door.pop(n % len(door)), 0, entered=False)
            case "match" if engine:
                told = {"prompt_tokens": sizes[n] + 40, "cached_tokens": 0, "anchor_tokens": 10 * n}
                b.policy.notice(Matched(t_s=b.now_s, asked=engine[n % len(engine)], **told))
            case "end":
                b.policy.observe(SessionEnded(t_ns=1, session=session))
            case _:
                b.now_s += 2.0 * n
        check(b, door, engine)
    for asked in engine:
        b.leave(asked, 100)
    b.now_s += 1_000.0
    assert not door or any(b.passes(asked) for asked in door)


def check(b: Crowd, door: list[Asked], engine: list[Asked]) -> None:
    inside = b.policy.inside
    assert all(b.passes(asked) for asked in door if asked.session in b.inside)
    assert b.inside >= {asked.session for asked in engine}
    assert inside.reserved >= inside.tokens - 1e-6
    agents = {agent for session in inside.sessions.values() for agent in session.paths}
    own = sum(session.tokens for session in inside.sessions.values())
    assert inside.tokens == own + sum(inside.anchor(agent) for agent in agents)
    if door and not b.inside:
        assert any(b.passes(asked) for asked in door)
