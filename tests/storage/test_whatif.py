"""What-ifs over recordings made by hand: sizes, flushes, gaps, orders, and what cannot be asked."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from storage_samples import Numbering, recorded, stream

from radixdeck.policies import events as ev
from radixdeck.policies.registry import PolicyError
from radixdeck.storage.bound import belady_bound, lru_hits
from radixdeck.storage.errors import WhatIfError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Change, Outcome, Recorded, what_if

Asked = tuple[str, str, str]
"""Agent, prompt and output, one letter per token."""
MS = 1_000_000


def started(capacity: int = 100, policy: str = "lru") -> ev.EngineStarted:
    return ev.EngineStarted(t_ns=1, pid=1, model="m", capacity_tokens=capacity, page_size=1, policy=policy)


def served(number: Numbering, index: int, asked: Asked, warm: bool = False) -> list[ev.AnyEvent]:
    """The events of one request that runs alone; a session per agent."""
    agent, prompt, output = asked
    hashes, rid, at = number.hashes(prompt + output), f"r{index}", 10 + index * MS
    return [
        ev.PrefixMatched(
            t_ns=at, rid=rid, agent=agent, session=f"s-{agent}", prompt_tokens=len(prompt), cached_tokens=0,
            tail=hashes[: len(prompt)].astype("<u4").tobytes(), warm=warm,
        ),
        ev.PrefixInserted(t_ns=at + 1, rid=rid, phase="prompt", total_tokens=len(prompt), new_tokens=0),
        ev.PrefixInserted(
            t_ns=at + 2, rid=rid, phase="finish", total_tokens=len(hashes), new_tokens=0,
            output=hashes[len(prompt) :].astype("<u4").tobytes(),
        ),
    ]  # fmt: skip


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Outcome]:
    """Record the events and ask, any number of times."""

    def ask(events: list[ev.AnyEvent], policy: str = "lru", kv_tokens: int | None = None, **how: object) -> Outcome:
        path = tmp_path / "run.sqlite"
        path.unlink(missing_ok=True)
        asyncio.run(recorded(path, events))
        with open_session(path) as session:
            return what_if(Recorded(session), policy, kv_tokens, **how)  # pyright: ignore[reportArgumentType]

    return ask


def traffic(seed: int, requests: int = 60) -> list[Asked]:
    chooser = random.Random(seed)
    said = {agent: agent * 6 for agent in "xyz"}
    asked: list[Asked] = []
    for _ in range(requests):
        agent = chooser.choice("xyz")
        said[agent] += chooser.choice("abcd") * chooser.randrange(1, 4)
        asked.append((agent, said[agent], chooser.choice(["", "ef"])))
        if len(said[agent]) > 25:
            said[agent] = agent * 6
    return asked


@pytest.mark.parametrize("kv_tokens", [20, 40, 80, 1000])
def test_under_lru_it_is_the_lru_of_the_bound(tmp_path: Path, kv_tokens: int) -> None:
    number, path = Numbering(), tmp_path / "run.sqlite"
    events = [started(), *(e for i, a in enumerate(traffic(3)) for e in served(number, i, a))]
    asyncio.run(recorded(path, events))
    with open_session(path) as session:
        outcome = what_if(Recorded(session), "lru", kv_tokens)
        requests = session.requests()
    plain = lru_hits(requests, kv_tokens)
    assert list(outcome.cached_by_request.values()) == list(plain.by_request)
    assert outcome.cached_tokens == plain.hit_tokens
    assert outcome.bound_tokens == belady_bound(requests, kv_tokens).hit_tokens >= outcome.cached_tokens
    assert outcome.prompt_tokens == sum(agent.prompt_tokens for agent in outcome.agents) == plain.prompt_tokens
    assert outcome.cached_tokens == sum(agent.cached_tokens for agent in outcome.agents)


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
def test_more_room_serves_more_and_endless_room_serves_all(asking: Callable[..., Outcome], policy: str) -> None:
    number = Numbering()
    outcome = asking([started(), *(e for i, a in enumerate(traffic(4)) for e in served(number, i, a))], policy, 10_000)
    assert outcome.evictions == 0
    assert outcome.cached_tokens == outcome.bound_tokens > 0


def test_size_is_the_recorded_one_unless_another_is_given(asking: Callable[..., Outcome]) -> None:
    assert asking([started(77), *served(Numbering(), 0, ("x", "abc", ""))]).kv_tokens == 77


def test_an_eviction_that_hurts_is_counted_for_its_agent(asking: Callable[..., Outcome]) -> None:
    number, asked = Numbering(), [("x", "aaaab", ""), ("y", "ccccd", ""), ("x", "aaaab", "")]
    outcome = asking([started(), *(e for i, a in enumerate(asked) for e in served(number, i, a))], kv_tokens=6)
    assert {agent.agent: agent.evictions_that_hurt for agent in outcome.agents} == {"x": 1, "y": 0}
    assert outcome.hurt_tokens >= 4


def test_a_flush_empties_the_cache(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    before, after = served(number, 0, ("x", "abcd", "")), served(number, 1, ("x", "abcd", ""))
    flushed = ev.CacheFlushed(t_ns=20)
    emptied = asking([started(), *before, flushed, *after])
    assert (emptied.cached_tokens, emptied.bound_tokens) == (0, 0)


def test_a_report_of_the_tree_is_no_flush(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    before, after = served(number, 0, ("x", "abcd", "")), served(number, 1, ("x", "abcd", ""))
    report = [ev.CacheFlushed(t_ns=20), ev.NodeAdded(t_ns=21, node=1, parent=0, start=0, tokens=4)]
    assert asking([started(), *before, *report, *after]).cached_tokens == 3


def test_an_engine_that_starts_again_starts_empty(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    before, after = served(number, 0, ("x", "abcd", "")), served(number, 1, ("x", "abcd", ""))
    assert asking([started(), *before, started(), *after]).cached_tokens == 0


@pytest.mark.parametrize("sizes", [(1000, 20), (20, 1000)])
def test_an_engine_that_starts_again_has_its_own_size(asking: Callable[..., Outcome], sizes: tuple[int, int]) -> None:
    """Three prompts in turn: all fit in the larger cache, and in the smaller one none is found again."""
    number = Numbering()
    asked = [("x", "aaaabbbb", ""), ("y", "ccccdddd", ""), ("z", "eeeeffff", "")] * 2
    events: list[ev.AnyEvent] = []
    for start, size in enumerate(sizes):
        events += [started(size), *(e for i, a in enumerate(asked) for e in served(number, 10 * start + i, a))]
    own, double, fixed = asking(events), asking(events, times=50.0), asking(events, kv_tokens=1000)
    assert own.cached_tokens == 3 * 7
    assert own.cached_tokens < own.bound_tokens < 6 * 7
    assert own.kv_sizes == [20, 1000]
    assert double.cached_tokens == fixed.cached_tokens == fixed.bound_tokens == 6 * 7
    later = asking(events, change=Change(-1, times=0.02))
    assert later.cached_tokens == 0


def test_an_operators_eviction_is_carried_out(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    order = ev.ActionTaken(t_ns=20, id="1", kind="evict", agent="x")
    parts = served(number, 0, ("x", "abcd", "")), served(number, 1, ("x", "abcd", ""))
    assert asking([started(), *parts[0], order, *parts[1]]).cached_tokens == 0


def test_warm_ups_are_run_again_only_under_the_policy_that_asked(tmp_path: Path) -> None:
    number, path = Numbering(), tmp_path / "run.sqlite"
    warm, asked = served(number, 0, ("x", "abcd", ""), warm=True), served(number, 1, ("x", "abcdef", ""))
    asyncio.run(recorded(path, [started(policy="kv_caching"), *warm, *asked]))
    with open_session(path) as session:
        ours, lru = (what_if(Recorded(session), policy) for policy in ("kv_caching", "lru"))
    assert (ours.warm_ups, ours.requests, ours.cached_tokens) == (1, 1, 4)
    assert (lru.warm_ups, lru.requests, lru.cached_tokens) == (0, 1, 0)


def at_step(event: ev.AnyEvent, step: int) -> ev.AnyEvent:
    return msgspec.structs.replace(event, step=step)


def evictions(asking: Callable[..., Outcome], events: list[ev.AnyEvent], **how: object) -> list[ev.NodeEvicted]:
    told: list[ev.EngineEvent] = []
    asking(events, take=told.append, **how)
    return [event for event in told if isinstance(event, ev.NodeEvicted)]


def test_outputs_take_their_room_batch_by_batch(asking: Callable[..., Outcome]) -> None:
    """10 tokens of room, 3 cached and idle; the sixth token of the output is the first that finds none."""
    number = Numbering()
    idle, long = served(number, 0, ("y", "ccc", "")), served(number, 1, ("x", "aa", "bdefgh"))
    sample = ev.EngineLoadSampled(
        t_ns=2 * MS, running=1, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=10
    )
    before = [at_step(event, step) for event, step in zip([*idle, *long[:2]], (1, 2, 2, 2, 3), strict=True)]
    for step, gone in ((8, 0), (9, 1)):
        events = [started(), *before, at_step(sample, step), ev.SessionEnded(t_ns=3 * MS, session="none", step=step)]
        told = evictions(asking, [*events, at_step(long[2], 9)], kv_tokens=10)
        assert [event.by_rid for event in told] == ["r1"]
        assert sum(event.t_ns < sample.t_ns for event in told) == gone, "before the sample, or after it"


def test_what_came_in_one_batch_makes_room_once_all_are_matched(asking: Callable[..., Outcome]) -> None:
    """Alone, the first request would evict what the second is about to use."""
    number = Numbering()
    old, first, second = (
        served(number, i, a) for i, a in enumerate([("y", "ccc", ""), ("x", "aa", ""), ("y", "ccc", "")])
    )
    for step, cached in ((2, 2), (3, 0)):
        steps = (1, 2, 2, 2, step, 4, 4, 4, 4)
        together = [*old, first[0], second[0], *first[1:], *second[1:]]
        events = [started(), *(at_step(event, step) for event, step in zip(together, steps, strict=True))]
        assert asking(events, kv_tokens=4).cached_tokens == cached


def test_batches_of_warm_ups_that_are_not_run_are_nobodys_tokens(asking: Callable[..., Outcome]) -> None:
    """The prompt of the warm-up comes in two batches while another request is under way."""
    number = Numbering()
    old, long = served(number, 0, ("y", "ccc", "")), served(number, 1, ("x", "aa", "bdef"))
    warm = served(number, 2, ("z", "gggg", ""), warm=True)
    part = ev.PrefixInserted(t_ns=MS, rid="r2", phase="prompt", total_tokens=2, new_tokens=2)
    order = [*old, *long[:2], warm[0], part, *warm[1:], long[2]]
    steps = (1, 2, 2, 2, 3, 3, 4, 5, 5, 9)
    sample = ev.EngineLoadSampled(
        t_ns=2 * MS + 50, running=1, waiting=0, used_tokens=0, evictable_tokens=0, capacity_tokens=7, step=7
    )
    events = [at_step(event, step) for event, step in zip(order, steps, strict=True)]
    told = evictions(asking, [started(7, "kv_caching"), *events[:-1], sample, events[-1]], policy="lru")
    assert [event.t_ns for event in told] == [sample.t_ns], "the third token of the output is the first to find no room"


def test_size_of_a_prefill_batch_is_that_of_the_largest_if_prompts_were_cut(tmp_path: Path) -> None:
    number, path = Numbering(), tmp_path / "run.sqlite"
    first, second = served(number, 0, ("x", "aaa", "")), served(number, 1, ("y", "ccccc", ""))
    part = ev.PrefixInserted(t_ns=MS, rid="r1", phase="prompt", total_tokens=2, new_tokens=2)
    order = [first[0], second[0], *first[1:], part, *second[1:]]
    steps = (1, 1, 2, 2, 2, 3, 3)
    events = [at_step(event, step) for event, step in zip(order, steps, strict=True)]
    asyncio.run(recorded(path, [started(), *events]))
    with open_session(path) as session:
        assert Recorded(session).chunk_tokens == 5


def test_what_is_missing_is_left_out_and_said(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    lost = ev.PrefixMatched(
        t_ns=5, rid="l", agent="x", session="s", prompt_tokens=9, cached_tokens=0, base_rid="gone", base_tokens=9
    )
    never = ev.PrefixInserted(t_ns=6, rid="never came", phase="prompt", total_tokens=3, new_tokens=3)
    outcome = asking([started(), ev.EventsDropped(t_ns=4, count=7), lost, never, *served(number, 0, ("x", "ab", ""))])
    assert (outcome.incomplete, outcome.dropped_events, outcome.requests) == (2, 7, 1)


def test_what_broke_in_the_real_engine_is_told(asking: Callable[..., Outcome]) -> None:
    """Of a policy only if it had a part in the order of evictions."""
    number = Numbering()
    broke = [
        ev.PolicyFailed(t_ns=20, policy=name, call="left", error=f"KeyError: '{name}'")
        for name in ("radixdeck", "kv_caching", "lfu")
    ]
    switched = ev.PolicySwitched(t_ns=15, policy="kv_caching", enabled=True)
    events = [started(), switched, *served(number, 0, ("x", "ab", "")), *broke]
    outcome = asking(events, "")
    told = [(failure.policy, failure.call, failure.error) for failure in outcome.recorded_failures]
    assert told == [(name, "left", f"KeyError: '{name}'") for name in ("radixdeck", "kv_caching")]
    assert [failure.seq for failure in outcome.recorded_failures] == [6, 7]


def test_requests_larger_than_the_cache_are_served_all_the_same(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    asked = [("x", "abcdefgh", "ij"), ("x", "abcdefgh", "ij")]
    outcome = asking([started(), *(e for i, a in enumerate(asked) for e in served(number, i, a))], kv_tokens=3)
    assert outcome.requests == 2
    assert outcome.too_long == 2, "and it is said that the engine would have refused them"


def test_what_runs_at_once_and_does_not_fit_is_counted(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    first, second = served(number, 0, ("x", "abcdef", "")), served(number, 1, ("y", "ghijkl", ""))
    events = [started(), first[0], second[0], *first[1:], *second[1:]]
    tight, roomy = asking(events, kv_tokens=8), asking(events, kv_tokens=12)
    assert (tight.too_long, tight.over_tokens) == (0, 4)
    assert (roomy.too_long, roomy.over_tokens) == (0, 0)


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
def test_any_recording_can_be_asked(asking: Callable[..., Outcome], policy: str) -> None:
    shares: list[float] = []
    outcome = asking(stream(120), policy, 150, progress=shares.append)
    assert outcome.requests == 120 - len([turn for turn in range(120) if turn % 9 == 8])
    assert outcome.failures == []
    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_what_cannot_be_asked_is_said_in_words(asking: Callable[..., Outcome]) -> None:
    with pytest.raises(WhatIfError, match=r"run.sqlite has no whole request in it"):
        asking([started()])
    with pytest.raises(WhatIfError, match="a cache of -5 tokens"):
        asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], kv_tokens=-5)
    for times in (0.0, math.nan, math.inf):
        with pytest.raises(WhatIfError, match=f"a cache {times:g} times as large"):
            asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], times=times)
    for kv_tokens, change in ((None, None), (9, Change(-1, times=2.0))):
        with pytest.raises(WhatIfError, match="does not say how large"):
            asking(served(Numbering(), 0, ("x", "ab", "")), kv_tokens=kv_tokens, change=change)
    with pytest.raises(WhatIfError, match=r"safety decides at the door .*: cachesage, .*, lru, .*ttl_pinning$"):
        asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], "safety")
    with pytest.raises(PolicyError, match="no policy named 'best'"):
        asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], "best")
