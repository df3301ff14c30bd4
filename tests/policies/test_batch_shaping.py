"""Batch shaping: an anchor is computed once for those who ask together, its users go first, nobody waits for ever."""

from __future__ import annotations

import random

import msgspec
import pytest
from door_load import Server, Step

from radixdeck.policies.batch_shaping import BatchShaping
from radixdeck.policies.door.host import DoorHost
from radixdeck.policies.door.unbegun import ENOUGH
from radixdeck.policies.doorkeeping import PASS, Asked, Came, Doorkeeper, Entered, Left, Matched
from radixdeck.policies.events import (
    AnchorMeasured,
    CacheFlushed,
    EngineEvent,
    EngineStarted,
    EventsDropped,
    NodeEvicted,
    PrefixInserted,
    PrefixMatched,
)

NAME = "batch_shaping"
ANCHOR = 1_000
STARTED = EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=9, page_size=1, policy="lru")


def asked(rid: str, agent: str = "a", tokens: int = 1_100) -> Asked:
    return Asked(rid=rid, agent=agent, about_tokens=tokens)


def come(policy: BatchShaping, *requests: Asked, at_s: float = 0.0) -> None:
    for one in requests:
        policy.notice(Came(t_s=at_s, asked=one))


def enter(policy: BatchShaping, *requests: Asked, at_s: float = 0.0) -> None:
    come(policy, *requests, at_s=at_s)
    for one in requests:
        policy.notice(Entered(t_s=at_s, asked=one))


def matched(one: Asked, cached: int, anchor: int = ANCHOR, *, warm: bool = False) -> PrefixMatched:
    return PrefixMatched(
        t_ns=1, rid=one.rid, agent=one.agent, session="s", prompt_tokens=1_100, cached_tokens=cached,
        anchor_tokens=anchor, warm=warm,
    )  # fmt: skip


def inserted(one: Asked, tokens: int) -> PrefixInserted:
    return PrefixInserted(t_ns=2, rid=one.rid, phase="prompt", total_tokens=tokens, new_tokens=tokens)


def evicted(*agents: str, start: int = 0, to_host: bool = False) -> NodeEvicted:
    return NodeEvicted(t_ns=3, node=1, tokens=500, start=start, agents=agents, to_host=to_host)


def kind(policy: BatchShaping, one: Asked, now_s: float = 0.1) -> str:
    return policy.admit(one, now_s).kind


def test_it_keeps_the_contract_and_has_nothing_to_say_to_one_request() -> None:
    policy = BatchShaping()
    assert isinstance(policy, Doorkeeper)
    come(policy, asked("r1"))
    assert policy.admit(asked("r1"), 0.0) is PASS


def test_the_second_waits_until_the_first_has_computed_the_anchor() -> None:
    policy, first, second = BatchShaping(), asked("r1"), asked("r2")
    enter(policy, first)
    come(policy, second)
    verdict = policy.admit(second, 0.1)
    assert (verdict.kind, verdict.whole_agent, verdict.until_s) == ("hold", True, 3.0)
    assert verdict.why == "the anchor of a is being computed for another request; this one follows"
    assert kind(policy, asked("r3", "b")) == "pass"
    policy.observe(matched(first, cached=200))
    policy.observe(inserted(first, 512))  # one chunk of it
    assert kind(policy, second) == "hold"
    policy.observe(inserted(first, 1_100))
    assert kind(policy, second) == "pass"


@pytest.mark.parametrize("cached", [ANCHOR, ANCHOR - 63])
def test_an_anchor_that_turns_out_to_be_there_is_not_waited_for(cached: int) -> None:
    policy, first, second = BatchShaping(), asked("r1"), asked("r2")
    enter(policy, first)
    come(policy, second)
    policy.observe(matched(first, cached=cached))
    assert kind(policy, second) == "pass"
    enter(policy, second)
    assert kind(policy, asked("r3")) == "pass"


def test_the_next_takes_over_from_one_that_went_away() -> None:
    policy, first, second, third = BatchShaping(), asked("r1"), asked("r2"), asked("r3")
    enter(policy, first)
    come(policy, second, third)
    policy.notice(Left(t_s=0.2, asked=first, entered=True))
    assert kind(policy, second) == "pass"
    policy.notice(Entered(t_s=0.2, asked=second))
    assert kind(policy, third, 0.3) == "hold"


def test_nobody_follows_where_the_anchor_may_be_computed_on_another_replica() -> None:
    policy, first, second = BatchShaping(), asked("r1"), asked("r2")
    policy.observe(msgspec.structs.replace(STARTED, replicas=2))
    enter(policy, first)
    come(policy, second)
    policy.observe(matched(first, cached=0))
    assert kind(policy, second) == "pass"


def test_nobody_follows_for_longer_than_that() -> None:
    policy, first, second, third = BatchShaping(), asked("r1"), asked("r2"), asked("r3")
    enter(policy, first)
    come(policy, second, third)
    assert (kind(policy, second, 2.9), kind(policy, second, 3.1)) == ("hold", "pass")
    policy.notice(Entered(t_s=3.1, asked=second))
    assert kind(policy, third, 3.2) == "pass"


@pytest.mark.parametrize(
    ("event", "computed_again"),
    [
        (evicted("a", "b"), True),
        (evicted("a", start=ANCHOR), False),
        (evicted("b"), False),
        (evicted("a", to_host=True), False),
        (CacheFlushed(t_ns=3), True),
        (STARTED, True),
    ],
)
def test_what_leaves_the_cache_is_computed_once_again(event: EngineEvent, computed_again: bool) -> None:
    policy, first = BatchShaping(), asked("r1")
    enter(policy, first)
    policy.observe(matched(first, cached=ANCHOR))
    policy.observe(event)
    enter(policy, asked("r2"))
    assert (kind(policy, asked("r3")) == "hold") == computed_again


def test_a_short_anchor_is_not_waited_for() -> None:
    policy = BatchShaping()
    enter(policy, asked("r1", tokens=100))
    assert kind(policy, asked("r2")) == "pass"
    policy.observe(AnchorMeasured(t_ns=1, agent="b", tokens=60))
    enter(policy, asked("r3", "b"))
    assert kind(policy, asked("r4", "b")) == "pass"


def test_a_prompt_without_an_anchor_is_waited_for_once() -> None:
    policy, first = BatchShaping(), asked("r1")
    enter(policy, first)
    policy.observe(matched(first, cached=0, anchor=0))
    policy.observe(inserted(first, 1_100))
    enter(policy, asked("r2"))
    assert kind(policy, asked("r3")) == "pass"


def test_nobody_follows_a_warm_up_but_what_it_leaves_is_known() -> None:
    policy = BatchShaping()
    policy.observe(matched(asked("warm"), cached=0, warm=True))
    assert kind(policy, asked("r1")) == "pass"
    policy.observe(inserted(asked("warm"), 1_100))
    enter(policy, asked("r1"))
    assert kind(policy, asked("r2")) == "pass"


def test_users_of_what_is_there_go_first_and_who_waited_for_long_before_them() -> None:
    policy = BatchShaping()
    for rid, agent in (("r1", "running"), ("r2", "cached"), ("r3", "cold")):
        enter(policy, asked(rid, agent))
        policy.observe(matched(asked(rid, agent), cached=ANCHOR))
        if agent != "running":
            policy.notice(Left(t_s=1.0, asked=asked(rid, agent), entered=True))
    policy.observe(evicted("cold"))
    waiting = [asked("w1", "cold"), asked("w2", "cached"), asked("w3", "running")]
    for at_s, one in enumerate(waiting):
        come(policy, one, at_s=float(at_s))

    def first_to_last(now_s: float) -> list[str]:
        return [one.agent for one in sorted(waiting, key=lambda one: policy.admit(one, now_s).order)]

    assert first_to_last(2.0) == ["running", "cached", "cold"]
    assert first_to_last(5.5) == ["cold", "running", "cached"]


def test_a_tree_that_is_told_anew_changes_nothing_about_who_computes_what() -> None:
    policy, first, second = BatchShaping(), asked("r1"), asked("r2")
    enter(policy, first)
    policy.observe(matched(first, cached=0))
    policy.observe(CacheFlushed(t_ns=2))
    come(policy, second)
    assert kind(policy, second) == "hold"
    policy.observe(inserted(first, 950))
    assert kind(policy, second) == "pass"


def test_where_the_engine_says_nothing_nobody_waits_for_an_anchor() -> None:
    policy = BatchShaping()
    for number in range(ENOUGH):
        enter(policy, one := asked(f"r{number}"))
        policy.notice(Left(t_s=0.0, asked=one, entered=True, output_tokens=3))
    enter(policy, asked("r99"))
    assert kind(policy, asked("w")) == "pass"
    policy.notice(Matched(t_s=0.0, asked=asked("r99"), prompt_tokens=9, cached_tokens=0))
    enter(policy, asked("r100"))
    assert kind(policy, asked("w")) == "hold"


def test_it_holds_while_the_engine_has_enough_to_begin_with() -> None:
    policy = BatchShaping()
    inside = [asked(f"r{number}", f"agent{number}") for number in range(5)]
    enter(policy, *inside)
    policy.notice(Matched(t_s=0.0, asked=inside[4], prompt_tokens=9, cached_tokens=0))
    verdict = policy.admit(asked("r9", "z"), 0.0)
    assert (verdict.kind, verdict.everybody) == ("hold", True)
    assert verdict.why == "the engine has yet to begin 4 requests; users of what is cached go first"
    policy.observe(EventsDropped(t_ns=1, count=3))  # that it has begun them may be among what is lost
    assert kind(policy, asked("r9", "z")) == "pass"


def test_what_it_never_saw_come_does_no_harm() -> None:
    policy = BatchShaping()
    policy.notice(Left(t_s=0.0, asked=asked("r1"), entered=True, output_tokens=5))
    policy.observe(inserted(asked("r2"), 100))
    policy.observe(evicted("nobody"))
    assert policy.admit(asked("r3"), 0.0) is PASS


def bursts(seed: int, policies: list[str], **tunables: float) -> Server:
    """Every four seconds three of eight agents are asked four times each; the cache has room for three anchors."""
    rng = random.Random(seed)
    anchors = {f"agent{number}": 800 for number in range(8)}
    host = DoorHost(policies, {NAME: tunables})
    server = Server(host, slots=8, anchors=anchors, cached_agents=3)
    for burst in range(20):
        for number, agent in enumerate(rng.sample(sorted(anchors), 3) * 4):
            tail, output = rng.randint(20, 100), rng.randint(5, 30)
            server.add(3.0 * burst + rng.random() / 5, [Step(agent, f"s{burst}-{number}", tail, output)])
    return server.run()


@pytest.mark.parametrize("seed", range(3))
def test_bursts_compute_little_more_than_each_anchor_once(seed: int) -> None:
    plain, shaped = bursts(seed, []), bursts(seed, [NAME])
    least = 20 * 3 * 800
    tails = sum(one.step.tail for one in plain.seen.values())
    assert shaped.computed - tails < 1.1 * least
    assert plain.computed - tails > 1.5 * least
    assert sum(shaped.ttfts_s()) < 0.9 * sum(plain.ttfts_s())


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_overtaken_by_who_came_after_its_patience(seed: int) -> None:
    """In overload, with every anchor gone again and again."""
    patience_s = 4.0
    rng = random.Random(seed)
    host = DoorHost([NAME], {NAME: {"patience_s": patience_s, "ahead": 1.0}})
    server = Server(host, slots=2, anchors={f"agent{number}": 600 for number in range(9)}, cached_agents=2)
    for number in range(300):
        agent = f"agent{min(int(rng.expovariate(0.5)), 8)}"
        server.add(rng.random() * 30, [Step(agent, f"s{number}", rng.randint(20, 400))])
    seen = server.run().seen.values()
    assert len(seen) == 300
    assert 0.0 < max(one.overtaken_s for one in seen) < patience_s
