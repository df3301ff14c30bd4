"""kv_caching: it beats LRU where there is something to win, loses nowhere, stays small, and only warms what pays."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from traffic import Shape, run, with_contents
from tree_model import TreeModel

from radixdeck.policies.events import (
    ActionTaken,
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    NextAgentHinted,
    NodeEvicted,
    Part,
    PrefixInserted,
    PrefixMatched,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.kv_caching import KvCaching
from radixdeck.policies.ownership import Who
from radixdeck.policies.parameters import Tunable
from radixdeck.policies.primitives import Action, Subject

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


class Learned(pickle.Pickler):
    """Writes what an object has of its own: what its class declares is there once, however many policies run."""

    def persistent_id(self, obj: Any) -> str | None:
        return obj.name if isinstance(obj, Tunable) else None


def learned_bytes(policy: KvCaching) -> int:
    Learned(written := io.BytesIO()).dump(policy)
    return written.tell()


@pytest.mark.parametrize("kv_tokens", [16_300, 20_000], ids=["all blocks followed", "every other one"])
@pytest.mark.parametrize("told", [True, False], ids=["ends told", "ends not told"])
@pytest.mark.parametrize("sessions", [4, 16, 40])
def test_what_is_learned_of_24_agents_stays_below_25_kb(sessions: int, told: bool, kv_tokens: int):
    shape = Shape("random", agents=24, sessions=sessions, requests=600, ends_told=told)
    policy, largest = KvCaching(), 0
    for number, event in enumerate(with_contents(run(shape, "lru", kv_tokens).tree.events)):
        policy.observe(event)
        if number % 100 == 0:
            largest = max(largest, learned_bytes(policy))
    assert max(largest, learned_bytes(policy)) < 25_000


def test_more_agents_and_sessions_than_it_can_hold_leave_it_bounded():
    policy = KvCaching()
    for number in range(1000):
        policy.observe(matched(number, f"agent{number % 200}", f"s{number}"))
        policy.observe(responded(number))
    prediction = policy.predict(1000.0)
    assert len(prediction.survival) <= 64
    assert len(prediction.next_agent) <= 256
    assert np.isfinite(policy.score(Subject("anchor", ("agent199",)), 1000.0).key)


def matched(number: int, agent: str, session: str, **more: Any) -> PrefixMatched:
    return PrefixMatched(
        t_ns=number * 10**9, rid=f"r{number}", agent=agent, session=session, prompt_tokens=900, cached_tokens=0,
        anchor_tokens=500, **more)  # fmt: skip


def responded(number: int) -> PrefixInserted:
    return PrefixInserted(
        t_ns=number * 10**9 + 10**8, rid=f"r{number}", phase="finish", total_tokens=910, new_tokens=910
    )


def prefetching() -> KvCaching:
    policy = KvCaching()
    policy.tunables.set("path_prefetch", 1)
    return policy


def taught(agents: tuple[str, ...] = ("planner", "coder", "tester"), dispatches: int = 60) -> KvCaching:
    """A policy that has seen one session go round its agents, and may prefetch paths."""
    policy = prefetching()
    for agent in agents:
        policy.observe(AnchorMeasured(t_ns=0, agent=agent, tokens=500))
    for number in range(dispatches):
        policy.observe(matched(number, agents[number % len(agents)], "s1"))
        policy.observe(responded(number))
    return policy


def evicted(agent: str, score: float = 0.0) -> NodeEvicted:
    return NodeEvicted(
        t_ns=60 * 10**9, node=1, tokens=500, start=0, agents=(agent,), role="anchor", score=score)  # fmt: skip


def asked(policy: KvCaching, *events: EngineEvent) -> list[Action]:
    for event in events:
        policy.observe(event)
    return policy.act(60.3)


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


def test_an_evicted_anchor_that_comes_next_is_warmed_once():
    policy = taught()
    actions = asked(policy, evicted("planner"))
    assert [(action.kind, action.agent) for action in actions] == [("warm", "planner")]
    assert policy.act(60.4) == []


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([], "nothing is missing"),
        ([evicted("planner"), matched(60, "coder", "s1")], "the engine is busy"),
        ([evicted("planner", score=1e6)], "what it displaces is worth more"),
        ([evicted("planner"), matched(60, "planner", "s1"), responded(60)], "it came back by itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_warmed_when(events: list[EngineEvent], why: str):
    assert asked(taught(), *events) == []


def test_nothing_is_warmed_while_little_is_known_or_when_it_is_off():
    assert asked(taught(dispatches=20), evicted("planner")) == []
    off = taught()
    off.tunables.set("warm_ups", 0)
    assert asked(off, evicted("planner")) == []


def evicted_history(agent: str, session: str) -> NodeEvicted:
    return NodeEvicted(
        t_ns=60 * 10**9, node=2, tokens=400, start=500, agents=(agent,), role="private", session=session)  # fmt: skip


def test_the_evicted_history_of_the_likeliest_next_step_is_warmed_once_until_it_goes_again():
    policy = taught()
    (action,) = asked(policy, evicted_history("planner", "s1"))
    assert (action.kind, action.agent, action.session, action.amount) == ("warm", "planner", "s1", 400)
    done = ActionTaken(t_ns=61 * 10**9, id="w", kind="warm", agent="planner", session="s1", tokens=400)
    assert asked(policy, done) == []
    assert [again.session for again in asked(policy, evicted_history("planner", "s1"))] == ["s1"]


@pytest.mark.parametrize("tunable", [("path_prefetch", 0.0), ("prefetch_theta", 1.0)])
def test_no_path_is_warmed_that_is_not_wanted(tunable: tuple[str, float]):
    policy = taught()
    policy.tunables.set(*tunable)
    assert asked(policy, evicted_history("planner", "s1")) == []
    assert asked(taught(), evicted_history("tester", "s1")) == []
    assert asked(taught(), evicted_history("planner", "never")) == []


def test_no_path_is_warmed_unless_it_was_switched_on():
    assert KvCaching().tunables["path_prefetch"] == 0


def test_where_agents_share_a_transcript_what_others_said_is_warmed_behind_the_anchor():
    policy = prefetching()
    for number in range(60):
        event = matched(number, ("planner", "coder")[number % 2], "s1")
        policy.observe(msgspec.structs.replace(event, prompt_tokens=900 + 100 * number))
        policy.observe(responded(number))
    (action,) = policy.act(60.3)
    assert (action.agent, action.session, action.amount) == ("planner", "s1", 100)


def test_a_hint_says_what_is_warmed():
    policy = taught()
    policy.observe(NextAgentHinted(t_ns=60 * 10**9, session="s1", agent="tester"))
    assert [action.agent for action in asked(policy, evicted_history("tester", "s1"))] == ["tester"]


@pytest.mark.parametrize("part", ["prediction", "liveness", "supersession", "protect_shared", "split_anchors"])
def test_every_part_can_be_left_out(part: str):
    style = "supervisor" if part == "supersession" else "private"
    shape = Shape("selector", style=style, tool_share=0.3, requests=200)
    host = PolicyHost(["kv_caching"], {"kv_caching": {part: 0.0}})
    assert host.splits_anchors == (part != "split_anchors")
    assert 0.0 < run(shape, "kv_caching", 9_000, host=host).hit_rate != run(shape, "kv_caching", 9_000).hit_rate


def test_outputs_and_superseded_history_are_told_apart():
    policy = taught()
    current, output, old = (
        policy.score(Subject("private", ("planner",), "s1", part=part), 59.5) for part in get_args(Part)
    )
    assert current.key > output.key > old.key > 0
    assert old.parts["superseded"] == 1.0


def test_a_flush_makes_every_anchor_missing_and_free_room_costs_nothing():
    idle = EngineLoadSampled(
        t_ns=60 * 10**9, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=9000
    )
    assert [action.agent for action in asked(taught(), CacheFlushed(t_ns=60 * 10**9), idle)] == ["planner"]
