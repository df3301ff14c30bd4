"""What the fold keeps of evictions that hurt, of an hour of every agent, and of guesses about who comes next."""

from __future__ import annotations

import msgspec
import pytest

from radixdeck.policies import events as e
from radixdeck.policies.fold.ghosts import HURTS_KEPT
from radixdeck.policies.fold.trends import COARSE_KEPT, COARSE_S, FINE_KEPT, FINE_S, MOST, moment
from radixdeck.policies.residency import Guesses, Hurt, RunState, fold

S = 1_000_000_000


def match(rid: str, agent: str, t_s: float, *, prompt: int, cached: int, session: str = "s") -> e.PrefixMatched:
    return e.PrefixMatched(
        t_ns=int(t_s * S), rid=rid, agent=agent, session=session, prompt_tokens=prompt, cached_tokens=cached
    )


def hurt_once(state: RunState, number: int, t_s: float) -> None:
    """Planner's node goes for coder's request, then planner needs it."""
    fold(state, match(f"c{number}", "coder", t_s, prompt=900, cached=100, session=f"c{number}"))
    fold(
        state,
        e.NodeEvicted(
            t_ns=int(t_s * S) + 1, node=number, tokens=400, start=64, agents=("planner",), role="anchor",
            by_rid=f"c{number}", by_agent="coder",
        ),
    )  # fmt: skip
    fold(state, match(f"p{number}", "planner", t_s + 1, prompt=600, cached=64, session=f"p{number}"))


def test_a_miss_is_kept_back_to_the_request_that_caused_it() -> None:
    state = RunState()
    fold(state, e.AnchorMeasured(t_ns=1, agent="planner", tokens=464))
    hurt_once(state, 7, 10.0)
    assert state.hurts == [
        Hurt(
            t_ns=11 * S, rid="p7", agent="planner", tokens=400, node=7, evicted_ns=10 * S + 1, role="anchor", start=64,
            by_rid="c7", by_agent="coder", by_tokens=800,
        )
    ]  # fmt: skip
    assert state.agents["planner"].anchor_hurt == 1
    assert state.requests["c7"].evicted_tokens == 400
    assert [one.hurt for one in state.trends["planner"]] == [1]


def test_hurts_are_bounded_and_survive_a_keyframe() -> None:
    state = RunState()
    for number in range(HURTS_KEPT + 20):
        hurt_once(state, number, 10.0 * number)
    assert len(state.hurts) == HURTS_KEPT
    assert state.hurts[-1].node == HURTS_KEPT + 19
    assert msgspec.json.decode(msgspec.json.encode(state), type=RunState) == state


def test_moments_count_what_fell_into_them() -> None:
    state = RunState()
    fold(state, match("a", "planner", 100.0, prompt=500, cached=400))
    fold(state, e.FirstTokenSent(t_ns=101 * S, rid="a", ttft_s=0.25))
    fold(state, match("b", "planner", 104.9, prompt=500, cached=100))
    fold(state, match("c", "planner", 105.0, prompt=500, cached=0))
    fine = state.trends["planner"]
    assert [(one.t_s, one.requests, one.prompt_tokens, one.cached_tokens) for one in fine] == [
        (100, 2, 1000, 500),
        (105, 1, 500, 0),
    ]
    assert (fine[0].answers, fine[0].ttft_s) == (1, 0.25)


def test_an_hour_is_kept_and_no_more() -> None:
    state = RunState()
    for t_s in range(0, 3 * 3600, FINE_S):
        moment(state, "planner", t_s * S).requests += 1
    trend = state.trends["planner"]
    assert len(trend) <= MOST
    assert trend[-1].t_s == 3 * 3600 - FINE_S
    assert [one.span_s for one in trend[-FINE_KEPT:]] == [FINE_S] * FINE_KEPT
    assert trend[-1].t_s - trend[0].t_s > 3600
    minutes = [one for one in trend if one.span_s == COARSE_S]
    assert 60 <= len(minutes) <= COARSE_KEPT
    assert all(one.requests == COARSE_S // FINE_S for one in minutes[1:-1])
    starts = [one.t_s for one in trend]
    assert starts == sorted(set(starts))


def test_time_that_runs_backwards_counts_as_the_last_moment() -> None:
    state = RunState()
    moment(state, "planner", 1000 * S).requests += 1
    moment(state, "planner", 10 * S).requests += 1
    assert [one.requests for one in state.trends["planner"]] == [2]


def test_warm_ups_are_no_requests_of_an_agent() -> None:
    state = RunState()
    fold(state, msgspec.structs.replace(match("w", "planner", 5.0, prompt=500, cached=0), warm=True))
    assert "planner" not in state.trends


@pytest.mark.parametrize(("after", "right"), [("b", 1), ("c", 0)])
def test_a_guess_is_made_before_each_step_and_counted(after: str, right: int) -> None:
    state = RunState()
    for number, agent in enumerate(["a", "b", "a", after]):
        fold(state, match(f"r{number}", agent, number, prompt=10, cached=0))
    assert state.guesses == {"s": Guesses(made=1, right=right)}
    assert (state.totals.guesses, state.totals.guesses_right) == (1, right)
    fold(state, e.SessionEnded(t_ns=9 * S, session="s"))
    assert state.guesses == {}


def test_tools_are_counted_by_agent() -> None:
    state = RunState()
    for number in range(40):
        tools = ("grep", f"tool-{number}")
        fold(state, e.ToolCalled(t_ns=number, rid=f"r{number}", agent="coder", session="s", tools=tools))
    assert state.agents["coder"].tools["grep"] == 40
    assert len(state.agents["coder"].tools) == 16


def whole_prompt_lost(state: RunState) -> None:
    """A node that only one session has used so far, from within the anchor (464 tokens) to the end of its prompt."""
    fold(state, e.AnchorMeasured(t_ns=1, agent="planner", tokens=464))
    lost = e.NodeEvicted(
        t_ns=2, node=3, tokens=536, start=64, agents=("planner",), role="private", session="one", by_agent="coder"
    )
    fold(state, lost)


def test_an_anchor_lost_with_one_sessions_node_is_missed_by_every_session() -> None:
    state = RunState()
    whole_prompt_lost(state)
    fold(state, match("p", "planner", 5.0, prompt=700, cached=64, session="two"))
    assert [(hurt.tokens, hurt.role, hurt.start) for hurt in state.hurts] == [(400, "anchor", 64)]
    fold(state, match("q", "planner", 6.0, prompt=700, cached=464, session="one"))
    assert [(hurt.tokens, hurt.role, hurt.start) for hurt in state.hurts[1:]] == [(136, "private", 464)]


def test_both_parts_missed_at_once_are_one_eviction() -> None:
    state = RunState()
    whole_prompt_lost(state)
    fold(state, match("p", "planner", 5.0, prompt=700, cached=64, session="one"))
    assert [hurt.tokens for hurt in state.hurts] == [536]
    assert state.totals.evictions_that_hurt == 1
    assert not state.ghosts
