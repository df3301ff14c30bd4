"""speculation: it prefills what comes next step by step, while it is quiet and worth it, and counts what came of it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from radixdeck.policies.ahead.spare_time import Pauses, SpareTime
from radixdeck.policies.events import (
    ActionTaken,
    CacheFlushed,
    EngineEvent,
    EngineLoadSampled,
    NodeEvicted,
    PrefixInserted,
    PrefixMatched,
    SessionEnded,
)
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.primitives import PREEMPTED, Action, Prediction
from radixdeck.policies.speculation import Speculation

S = 10**9
NEXT = {"s1": {"planner": 0.9, "coder": 0.05}}


def asks(policy: Speculation, number: int, agent: str, at_s: float, session: str = "s1", **more: Any) -> None:
    """One request: 1,000 tokens of which 500 are the anchor, none cached, computed at 1,000 a second; 10 of output."""
    told: dict[str, Any] = {"prompt_tokens": 1000, "cached_tokens": 0, "anchor_tokens": 500, **more}
    rid = f"r{number}"
    policy.observe(PrefixMatched(t_ns=int(at_s * S), rid=rid, agent=agent, session=session, **told))
    end_ns = int((at_s + (told["prompt_tokens"] - told["cached_tokens"]) / 1000) * S)
    for phase, tokens in (("prompt", told["prompt_tokens"]), ("finish", told["prompt_tokens"] + 10)):
        policy.observe(PrefixInserted(t_ns=end_ns, rid=rid, phase=phase, total_tokens=tokens, new_tokens=1))


def taught(pause_s: float = 20.0, lost_tokens: int = 0, **tunables: float) -> Speculation:
    """Planner and coder take turns in one session, with pauses of that length; the last request ended at 1,000 s.
    `lost_tokens`: how much of each prompt had been cached once."""
    policy, rounds = Speculation(), 12
    for name, value in tunables.items():
        policy.tunables.set(name, value)
    every_s = 1.0 + pause_s
    for number in range(rounds):
        agent, at_s = ("planner", "coder")[number % 2], (number + 1 - rounds) * every_s + 999
        asks(policy, number, agent, at_s, prompt_tokens=1000 - 200 * (number % 2), base_tokens=lost_tokens)
    policy.foresee(Prediction(next_agent=NEXT, survival={"planner": 0.95, "coder": 0.9}, dispatches=100))
    return policy


def wanted(policy: Speculation, *events: EngineEvent, after_s: float = 0.05) -> list[Action]:
    for event in events:
        policy.observe(event)
    return policy.act(1000 + after_s)


def evicted(agent: str = "planner", start: int = 500, **more: Any) -> NodeEvicted:
    told: dict[str, Any] = {"tokens": 510, "role": "private", "session": "s1", **more}
    return NodeEvicted(t_ns=1000 * S, node=1, start=start, agents=(agent,), **told)


def carried_out(policy: Speculation, action: Action, cached: int, *, computed: int | None = None) -> None:
    """What the engine tells of a step; `computed`: less if it was preempted."""
    upto, at_ns = int(action.amount), int(1000.06 * S)
    got = upto if computed is None else cached + computed
    done = computed is None
    end_ns = at_ns + (got - cached) * S // 1000
    who: dict[str, Any] = {"agent": action.agent, "session": action.session}
    policy.observe(PrefixMatched(t_ns=at_ns, rid="w", prompt_tokens=upto, cached_tokens=cached, warm=True, **who))
    for phase in ("prompt", "finish"):
        policy.observe(PrefixInserted(t_ns=end_ns, rid="w", phase=phase, total_tokens=got, new_tokens=1))
    policy.observe(
        ActionTaken(
            t_ns=end_ns, id="w", kind="warm", amount=action.amount, ok=done, tokens=upto if done else 0,
            result="" if done else PREEMPTED, **who,
        )
    )  # fmt: skip


# ---- what is prefilled -----------------------------------------------------------------------------------------------


def test_the_missing_end_of_the_next_prompt_is_prefilled_in_steps_until_all_is_there():
    policy = taught(longest_step_s=0.3)
    (action,) = wanted(policy, evicted())
    assert (action.kind, action.agent, action.session, action.amount) == ("warm", "planner", "s1", 756)
    assert "saves" in action.why
    assert policy.act(1000.1) == [], "one step at a time"
    reached = [500, 756]
    while action.amount < 1010:
        carried_out(policy, action, reached[-2])
        (action,) = wanted(policy)
        reached.append(int(action.amount))
    assert reached == sorted(set(reached))
    carried_out(policy, action, reached[-2])
    assert wanted(policy) == []
    assert policy.tells()["warmed_tokens"] == 510


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([], "nothing is missing"),
        ([evicted("coder")], "the agent is not likely"),
        ([evicted(session="s9")], "another session's"),
        ([evicted(part="old")], "prompts do not lead through it any more"),
        ([evicted(start=980)], "too little is missing"),
        ([evicted(), SessionEnded(t_ns=1000 * S, session="s1")], "the session is over"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_prefilled_when(events: list[EngineEvent], why: str):
    assert wanted(taught(), *events) == []


def test_an_anchor_that_went_is_prefilled_for_whoever_is_likely_and_alone_if_nobody_is():
    gone = evicted(start=0, role="anchor", session="")
    policy = taught()
    policy.foresee(Prediction(next_agent=NEXT, survival={"planner": 0.5}, dispatches=100))
    path = wanted(policy, gone, evicted(start=500))[0]
    assert (path.agent, path.session) == ("planner", "s1")
    anchor = wanted(taught(paths=0), gone)[0]
    assert (anchor.agent, anchor.session) == ("planner", "")
    assert wanted(taught(paths=0, anchors=0), gone) == []


@pytest.mark.parametrize("found_tokens", [0, 500])
def test_where_agents_share_a_transcript_what_others_said_is_prefilled_behind_the_anchor(found_tokens: int):
    """It grows by 300 tokens a turn. What a tool found in between, for the second request of a turn, is shown to no
    other agent."""
    policy = Speculation()
    for number in range(24):
        turn, second = divmod(number, 2)
        prompt_tokens = 1000 + 300 * turn + found_tokens * second
        asks(policy, number, ("planner", "coder")[turn % 2], 516 + 21 * number, prompt_tokens=prompt_tokens)
    policy.foresee(Prediction(next_agent=NEXT, dispatches=100))
    (action,) = policy.act(1000.05)
    assert (action.agent, action.session) == ("planner", "s1")
    assert 1000 + 300 * 10 < action.amount <= 1000 + 300 * 11


def test_a_flush_makes_everything_missing():
    assert wanted(taught(), CacheFlushed(t_ns=1000 * S)) != []


# ---- whether it is worth it ------------------------------------------------------------------------------------------


def test_nothing_is_prefilled_where_somebody_always_asks_at_once():
    policy = taught(pause_s=0.1)
    assert wanted(policy, evicted()) == []
    told = policy.tells()
    assert told["worth_s"] < 0 < told["delays_s"]
    assert told["quiet"] < 0.3


def test_a_pause_that_lasts_is_believed_to_last():
    pauses = Pauses()
    for _ in range(20):
        pauses.see(0.02)
        pauses.see(10.0)
    assert pauses.quiet(0.0, 0.1) == pytest.approx(0.5, abs=0.06)
    assert pauses.quiet(0.1, 0.1) > 0.85
    assert pauses.quiet(0.1, 30.0) == 0.0


def test_little_experience_is_doubted():
    pauses = Pauses()
    pauses.see(10.0)
    assert pauses.quiet(0.0, 0.1) == pytest.approx(0.5)


def test_what_is_displaced_counts_as_far_as_it_is_asked_for_again():
    full = EngineLoadSampled(
        t_ns=1000 * S, running=0, waiting=0, used_tokens=9000, evictable_tokens=0, capacity_tokens=9000
    )
    policy = taught()
    assert wanted(policy, full, evicted()) != []
    policy = taught(lost_tokens=1000)
    assert wanted(policy, full, evicted()) == []
    assert policy.tells()["displaces_s"] > 0
    free = EngineLoadSampled(
        t_ns=1000 * S, running=0, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=9000
    )
    assert wanted(policy, free) != []


def test_nothing_is_prefilled_while_little_is_known():
    policy = taught()
    policy.foresee(Prediction(next_agent=NEXT, dispatches=10))
    assert wanted(policy, evicted()) == []


def test_a_request_that_finds_a_step_under_way_came_when_it_was_preempted():
    spare = SpareTime()

    def tell(fact: type[Any], at_s: float, **more: Any) -> None:
        spare.observe(fact(t_ns=int(at_s * S), **more))

    def ask(rid: str, at_s: float) -> None:
        tell(PrefixMatched, at_s, rid=rid, agent="a", session="s", prompt_tokens=9, cached_tokens=0)
        tell(PrefixInserted, at_s, rid=rid, phase="finish", total_tokens=9, new_tokens=9)

    for number in range(20):
        ask(f"r{number}", 10.0 * number)
        tell(ActionTaken, 10.0 * number + 0.1, id="w", kind="warm", ok=False, result=PREEMPTED)
    assert spare.pauses.quiet(0.0, 0.05) > 0.8
    assert spare.pauses.quiet(0.0, 1.0) == 0.0


def test_speed_is_the_median_and_does_not_mind_one_slow_prefill():
    policy = taught()
    asks(policy, 50, "coder", 1000.0, prompt_tokens=100_000)
    assert policy.tells()["prefill_tokens_per_s"] == pytest.approx(1000, rel=0.01)


# ---- what came of it -------------------------------------------------------------------------------------------------


def test_what_is_used_and_what_is_wasted_is_counted():
    policy = taught()
    (action,) = wanted(policy, evicted())
    carried_out(policy, action, 500)
    asks(policy, 60, "planner", 1002.0, cached_tokens=int(action.amount))
    told = policy.tells()
    assert told["warmed_tokens"] == told["used_tokens"] == action.amount - 500
    assert (told["wasted_tokens"], told["steps"]) == (0, 1)

    policy = taught()
    (action,) = wanted(policy, evicted())
    carried_out(policy, action, 500)
    useful = policy.tells()["useful"]
    assert wanted(policy, evicted()) == [], "not twice in one turn"
    told = policy.tells()
    assert told["wasted_tokens"] == told["warmed_tokens"] == action.amount - 500
    assert told["useful"] < useful


def test_a_preempted_step_is_asked_for_again_and_a_refused_one_is_not():
    policy = taught()
    (action,) = wanted(policy, evicted())
    carried_out(policy, action, 500, computed=0)
    assert policy.tells()["preempted"] == 1
    assert policy.tells()["warmed_tokens"] == 0
    again = policy.act(1000.1)
    assert len(again) == 1
    refused = ActionTaken(
        t_ns=1003 * S, id="w", kind="warm", agent="planner", session="s1", amount=again[0].amount, ok=False,
        result="what agent 'planner' will be asked in session 's1' is not known",
    )  # fmt: skip
    assert wanted(policy, refused) == []


# ---- beside the others -----------------------------------------------------------------------------------------------


def test_the_host_tells_it_what_the_others_predict_and_whether_paths_are_wanted():
    host = PolicyHost(["kv_caching", "speculation"])
    assert host.says("wants_paths")
    assert not PolicyHost(["kv_caching"]).says("wants_paths")
    assert not PolicyHost(["kv_caching", "speculation"], {"speculation": {"paths": 0.0}}).says("wants_paths")
    rid = at_ns = 0
    for number in range(80):
        for agent in ("planner", "coder"):
            rid, at_ns = rid + 1, (1000 + 40 * number + 20 * (agent == "coder")) * S
            host.observe(
                PrefixMatched(
                    t_ns=at_ns, rid=f"r{rid}", agent=agent, session="s1", prompt_tokens=1000, cached_tokens=0,
                    anchor_tokens=500,
                )
            )  # fmt: skip
            for phase in ("prompt", "finish"):
                host.observe(
                    PrefixInserted(t_ns=at_ns + S, rid=f"r{rid}", phase=phase, total_tokens=1000, new_tokens=1)
                )
    host.observe(evicted())
    ((by, action),) = host.act(at_ns / 1e9 + 1.1)
    assert (by, action.kind, action.agent, action.session) == ("speculation", "warm", "planner", "s1")
    facts = {facts.name: facts for facts in host.info()}
    assert facts["speculation"].tells["worth_s"] > 0
    assert facts["kv_caching"].tells == {}


def test_what_is_learned_stays_small_whatever_comes():
    policy = Speculation()
    for number in range(3000):
        asks(policy, number, f"agent{number % 200}", 2.0 * number, session=f"s{number % 700}")
        policy.observe(evicted(f"agent{number % 150}", session=f"s{number % 500}"))
    assert len(pickle.dumps(vars(policy)["_prompts"])) + len(pickle.dumps(vars(policy)["_spare"])) < 25_000
