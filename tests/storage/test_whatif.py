"""What-ifs over recordings made by hand: sizes, flushes, gaps, orders, and what cannot be asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from storage_samples import Numbering, recorded, stream

from radixdeck.policies import events as ev
from radixdeck.policies.registry import PolicyError
from radixdeck.storage.bound import belady_bound, lru_hits
from radixdeck.storage.errors import WhatIfError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

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
    """Record the events and ask."""

    def ask(events: list[ev.AnyEvent], policy: str = "lru", kv_tokens: int | None = None, **how: object) -> Outcome:
        path = tmp_path / "run.sqlite"
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


def test_what_is_missing_is_left_out_and_said(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    lost = ev.PrefixMatched(
        t_ns=5, rid="l", agent="x", session="s", prompt_tokens=9, cached_tokens=0, base_rid="gone", base_tokens=9
    )
    never = ev.PrefixInserted(t_ns=6, rid="never came", phase="prompt", total_tokens=3, new_tokens=3)
    outcome = asking([started(), ev.EventsDropped(t_ns=4, count=7), lost, never, *served(number, 0, ("x", "ab", ""))])
    assert (outcome.incomplete, outcome.dropped_events, outcome.requests) == (1, 7, 1)


def test_requests_larger_than_the_cache_are_served_all_the_same(asking: Callable[..., Outcome]) -> None:
    number = Numbering()
    asked = [("x", "abcdefgh", "ij"), ("x", "abcdefgh", "ij")]
    outcome = asking([started(), *(e for i, a in enumerate(asked) for e in served(number, i, a))], kv_tokens=3)
    assert outcome.requests == 2


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
def test_any_recording_can_be_asked(asking: Callable[..., Outcome], policy: str) -> None:
    shares: list[float] = []
    outcome = asking(stream(120), policy, 150, progress=shares.append)
    assert outcome.requests == 120 - len([turn for turn in range(120) if turn % 9 == 8])
    assert outcome.failures == []
    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_what_cannot_be_asked_is_said_in_words(asking: Callable[..., Outcome], tmp_path: Path) -> None:
    with pytest.raises(WhatIfError, match=r"run.sqlite has no whole request in it"):
        asking([started()])
    (tmp_path / "run.sqlite").unlink()
    with pytest.raises(WhatIfError, match="a cache of -5 tokens"):
        asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], kv_tokens=-5)
    (tmp_path / "run.sqlite").unlink()
    with pytest.raises(WhatIfError, match="does not say how large"):
        asking(served(Numbering(), 0, ("x", "ab", "")))
    (tmp_path / "run.sqlite").unlink()
    with pytest.raises(PolicyError, match="no policy named 'best'"):
        asking([started(), *served(Numbering(), 0, ("x", "ab", ""))], "best")
