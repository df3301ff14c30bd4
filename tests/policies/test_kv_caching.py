"""kv_caching: it beats LRU where there is something to win, loses nowhere, stays small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from traffic import Shape, run
from tree_model import TreeModel

from radixdeck.policies.events import (
    AnswerGiven,
    FinishReason,
    Part,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.primitives import Subject
from radixdeck.policies.reuse.worth import STALE
from radixdeck.policies.tree.ownership import Who
from radixdeck.policies.tree.parts import PASSED_BY

SHAPES = [
    Shape(topology, style=style, tool_share=tools, ends_told=not tools, requests=250)
    for topology in ("pipeline", "debate", "selector", "random")
    for style in ("private", "supervisor")
    for tools in (0.0, 0.3)
]


def name_of(shape: Shape) -> str:
    return f"{shape.topology}-{shape.style}-{'tools' if shape.tool_share else 'plain'}"


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@pytest.mark.parametrize("capacity_tokens", [6_000, 16_000])
def test_never_below_lru(shape: Shape, capacity_tokens: int):
    lru, ours = run(shape, "lru", capacity_tokens), run(shape, "kv_caching", capacity_tokens)
    assert ours.prompt_tokens == lru.prompt_tokens
    assert ours.hit_rate >= lru.hit_rate - 0.01


@pytest.mark.parametrize("topology", ["pipeline", "debate", "selector", "random"])
def test_far_above_lru_where_histories_flush_anchors(topology: str):
    shape = Shape(topology, agents=12, sessions=6, requests=500)
    lru, ours = run(shape, "lru", 14_000, seed=7), run(shape, "kv_caching", 14_000, seed=7)
    assert ours.hit_rate >= lru.hit_rate + 0.13


WRONG: dict[str, Callable[[Who], Who]] = {
    "no session": lambda who: msgspec.structs.replace(who, session=""),
    "one session": lambda who: msgspec.structs.replace(who, session="all"),
    "a session per request": lambda who: msgspec.structs.replace(who, session=who.rid),
    "one agent": lambda who: msgspec.structs.replace(who, agent="x", anchor=0),
    "an agent per request": lambda who: msgspec.structs.replace(who, agent=who.rid),
    "an agent per session": lambda who: msgspec.structs.replace(who, agent=who.agent + who.session),
    "nobody": lambda who: Who(who.rid),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("capacity_tokens", [7_000, 16_000])
def test_wrong_identities_cost_little_against_lru(wrong: str, capacity_tokens: int, monkeypatch: pytest.MonkeyPatch):
    dispatch = TreeModel.dispatch
    monkeypatch.setattr(TreeModel, "dispatch", lambda tree, who, prompt: dispatch(tree, WRONG[wrong](who), prompt))
    shape = Shape("selector", tool_share=0.3)
    assert run(shape, "kv_caching", capacity_tokens).hit_rate >= run(shape, "lru", capacity_tokens).hit_rate - 0.025


def test_twins_fed_the_same_stream_agree_on_every_score():
    shape = Shape("random", agents=8, requests=200)
    engine = PolicyHost(["kv_caching"])
    tree = run(shape, "kv_caching", 10_000, host=engine).tree
    twin = PolicyHost(["kv_caching"])
    for event in tree.events:
        twin.observe(event)
    now_s = tree.now_s + 0.3
    for session in ("s1", "s9", "s20"):
        for agent in range(8):
            subject = Subject("private", (f"agent{agent}",), session)
            assert engine.score(subject, now_s) == twin.score(subject, now_s) == engine.score(subject, now_s)
    assert engine.predict(now_s) == twin.predict(now_s)


def test_scoring_in_between_changes_nothing_that_comes_later():
    shape = Shape("selector", requests=150)
    events = run(shape, "kv_caching", 10_000).tree.events
    asked, silent = KvCaching(), KvCaching()
    subject = Subject("anchor", ("agent1",))
    for event in events:
        asked.observe(event)
        silent.observe(event)
        asked.score(subject, event.t_ns / 1e9 + 0.017)
        asked.predict(event.t_ns / 1e9)
    end_s = events[-1].t_ns / 1e9
    assert asked.score(subject, end_s) == silent.score(subject, end_s)


def test_more_agents_and_sessions_than_it_can_hold_leave_it_bounded():
    policy = KvCaching()
    for number in range(1000):
        policy.observe(matched(number, f"agent{number % 200}", f"s{number}"))
        policy.observe(responded(number))
    prediction = policy.predict(1000.0)
    assert len(prediction.survival) <= 64
    assert np.isfinite(policy.score(Subject("anchor", ("agent199",)), 1000.0).key)


def matched(number: int, agent: str, session: str, **more: Any) -> PrefixMatched:
    return PrefixMatched(
        t_ns=number * 10**9, rid=f"r{number}", agent=agent, session=session, prompt_tokens=900, cached_tokens=0,
        anchor_tokens=500, **more)  # fmt: skip


def responded(number: int) -> PrefixInserted:
    return PrefixInserted(
        t_ns=number * 10**9 + 10**8, rid=f"r{number}", phase="finish", total_tokens=910, new_tokens=910
    )


def taught(agents: tuple[str, ...] = ("planner", "coder", "tester"), dispatches: int = 60) -> KvCaching:
    """A policy that has seen one session go round its agents."""
    policy = KvCaching()
    for number in range(dispatches):
        policy.observe(matched(number, agents[number % len(agents)], "s1"))
        policy.observe(responded(number))
    return policy


def test_the_agent_that_comes_next_is_predicted_and_worth_most():
    policy = taught()
    prediction = policy.predict(59.5)
    row = prediction.next_agent["s1"]
    assert max(row, key=lambda name: row[name]) == "planner"
    assert sum(row.values()) <= 1.0 + 1e-6
    assert prediction.predictability > 0.6
    worth = {agent: policy.score(Subject("anchor", (agent,)), 59.5).key for agent in row}
    assert worth["planner"] > worth["coder"] > worth["tester"]


def test_one_agents_history_is_worth_less_than_its_anchor_and_a_closed_sessions_nothing():
    policy = taught()
    anchor = policy.score(Subject("anchor", ("coder",)), 59.5)
    history = policy.score(Subject("private", ("coder",), "s1"), 59.5)
    assert anchor.key > history.key > 0
    assert history.parts["alive"] > 0.5
    assert 1.0 < history.parts["back_s"] < 3.0
    assert policy.score(Subject("private", ("coder",)), 59.5).key == 0


@pytest.mark.parametrize("part", ["prediction", "liveness", "supersession", "protect_shared", "split_anchors"])
def test_every_part_can_be_left_out(part: str):
    superseded = part == "supersession"  # in a tight cache such history goes first in any case
    style, kv_tokens = ("supervisor", 14_000) if superseded else ("private", 9_000)
    shape = Shape("selector", style=style, tool_share=0.3, requests=200)
    host = PolicyHost(["kv_caching"], {"kv_caching": {part: 0.0}})
    assert host.splits_anchors == (part != "split_anchors")
    assert 0.0 < run(shape, "kv_caching", kv_tokens, host=host).hit_rate != run(shape, "kv_caching", kv_tokens).hit_rate


def test_outputs_and_superseded_history_are_told_apart():
    policy = taught()
    parts: tuple[Part, ...] = ("", "output", "old")
    current, output, old = (policy.score(Subject("private", ("planner",), "s1", part=part), 59.5) for part in parts)
    assert current.key > output.key > old.key > 0
    assert old.parts["superseded"] == 1.0


def test_the_longer_a_common_prefix_was_not_used_the_less_it_is_worth():
    policy = taught()
    used = policy.score(Subject("anchor", ("planner",)), 59.5)
    for part, dispatches in PASSED_BY.items():
        old = policy.score(Subject("anchor", ("planner",), part=part), 59.5)
        assert old.key == pytest.approx(used.parts["rate_per_s"] * STALE / dispatches)
        assert old.parts["passed_by"] == dispatches
    policy.tunables.set("supersession", 0.0)
    assert policy.score(Subject("anchor", ("planner",), part="old"), 59.5) == used


def test_requests_that_are_followed_no_longer_leave_no_session_running(monkeypatch: pytest.MonkeyPatch):
    """Six in flight at once, of which four are followed."""
    monkeypatch.setattr("radixdeck.policies.kv_caching.OUTSTANDING", 4)
    policy = KvCaching()
    for turn in range(5):
        for session in range(6):
            policy.observe(matched(turn * 6 + session, "a", f"s{session}"))
        for session in range(6):
            policy.observe(responded(turn * 6 + session))
    assert [one.running for one in policy._model.standing.by_name.values()] == [0] * 6  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("finish", "running"), [("abort", 0), ("error", 0), ("stop", 1)])
def test_a_request_that_was_given_up_runs_no_more(finish: FinishReason, running: int):
    """Of one that is aborted while its prompt is computed SGLang tells no finish."""
    policy = KvCaching()
    policy.observe(matched(1, "a", "s"))
    policy.observe(AnswerGiven(t_ns=2 * 10**9, rid="r1", agent="a", session="s", finish=finish))
    assert policy._model.standing.by_name["s"].running == running  # pyright: ignore[reportPrivateUsage]
    policy.observe(responded(3))  # of another one
    policy.observe(matched(4, "a", "s"))
    policy.observe(responded(4))
    assert policy._model.standing.by_name["s"].running == running  # pyright: ignore[reportPrivateUsage]


def test_a_request_that_is_computed_again_runs_once():
    policy = KvCaching()
    policy.observe(matched(1, "a", "s"))
    policy.observe(matched(1, "a", "s"))
    policy.observe(responded(1))
    assert policy._model.standing.by_name["s"].running == 0  # pyright: ignore[reportPrivateUsage]
