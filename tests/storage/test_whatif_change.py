"""What-ifs from a moment on: the same up to then, the other way from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from storage_samples import recorded

from radixdeck.demos.streams import StreamSpec, generate_stream
from radixdeck.policies import events as ev
from radixdeck.policies.parameters import TunableError
from radixdeck.policies.registry import PolicyError
from radixdeck.storage.errors import WhatIfError
from radixdeck.storage.evaluate import evaluate
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import AS_IT_WAS, Change, Outcome, Recorded, what_if


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """120 requests, first under lru, from the middle on under kv_caching, with one of its tunables changed."""
    stream = generate_stream(StreamSpec(seed=12, requests=120))
    told: list[ev.EngineEvent] = []
    evaluate(stream, "lru", stream.working_set_tokens // 2, take=told.append)
    events = [msgspec.structs.replace(event, step=0) if hasattr(event, "step") else event for event in told]
    events[0] = msgspec.structs.replace(events[0], policy="lru")
    matches = [place for place, event in enumerate(events) if isinstance(event, ev.PrefixMatched)]
    middle = matches[60]
    t_ns = events[middle].t_ns
    events[middle:middle] = [
        ev.PolicySwitched(t_ns=t_ns, policy="lru", enabled=False, by="host"),
        ev.PolicySwitched(t_ns=t_ns, policy="kv_caching", enabled=True),
        ev.TunableChanged(t_ns=t_ns, policy="kv_caching", name="turnover", value=3.0),
    ]
    path = tmp_path_factory.mktemp("change") / "run.db"
    asyncio.run(recorded(path, events))
    with open_session(path) as session:
        yield Recorded(session)


def served(outcome: Outcome, seqs: list[int]) -> list[int]:
    return [outcome.cached_by_request[seq] for seq in seqs]


def moment(run: Recorded, share: float) -> int:
    return sorted(run.requests)[int(len(run.requests) * share)] - 1


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_with_nothing_changed_both_sides_are_equal(run: Recorded, share: float) -> None:
    """Also when the policy in force, its values and the size are named again."""
    at = moment(run, share)
    in_force = "lru" if share < 0.5 else "kv_caching"
    values = () if share < 0.5 else (("kv_caching", "turnover", 3.0),)
    as_it_was = what_if(run, AS_IT_WAS)
    for change in (Change(at), Change(at, tunables=values, kv_tokens=run.capacity_tokens)):
        same = what_if(run, AS_IT_WAS, change=change)
        assert same.cached_by_request == as_it_was.cached_by_request
        assert same.gone == as_it_was.gone
    if share > 0.5:
        named = what_if(run, AS_IT_WAS, change=Change(at, in_force, values, run.capacity_tokens))
        assert named.cached_by_request == as_it_was.cached_by_request
        assert named.gone == as_it_was.gone


def test_as_it_was_switches_when_the_run_switched(run: Recorded) -> None:
    as_it_was, lru = what_if(run, AS_IT_WAS), what_if(run, "lru")
    seqs = sorted(run.requests)
    assert served(as_it_was, seqs[:60]) == served(lru, seqs[:60])
    assert served(as_it_was, seqs[60:]) != served(lru, seqs[60:])


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_up_to_the_moment_it_is_the_same_and_then_it_is_not(run: Recorded, share: float) -> None:
    at = moment(run, share)
    seqs = sorted(run.requests)
    before, after = [seq for seq in seqs if seq <= at], [seq for seq in seqs if seq > at]
    as_it_was = what_if(run, AS_IT_WAS)
    for change in (Change(at, "lfu"), Change(at, kv_tokens=run.capacity_tokens * 3)):
        other = what_if(run, AS_IT_WAS, change=change)
        assert served(other, before) == served(as_it_was, before)
        assert served(other, after) != served(as_it_was, after)
        assert [gone for gone in other.gone if gone.seq <= at] == [gone for gone in as_it_was.gone if gone.seq <= at]
    assert sum(served(other, after)) > sum(served(as_it_was, after))


def test_less_memory_from_a_moment_on_takes_effect_with_the_next_need(run: Recorded) -> None:
    at = moment(run, 0.5)
    smaller = what_if(run, AS_IT_WAS, change=Change(at, kv_tokens=run.capacity_tokens // 2))
    assert smaller.cached_tokens < what_if(run, AS_IT_WAS).cached_tokens
    first = next(gone for gone in smaller.gone if gone.seq > at)
    assert first.tokens > 0


@pytest.mark.parametrize("times", [4.0, 0.5])
def test_the_best_possible_is_in_the_larger_of_both_sizes(run: Recorded, times: float) -> None:
    sizes = sorted((run.capacity_tokens, int(run.capacity_tokens * times)))
    late = what_if(run, AS_IT_WAS, change=Change(moment(run, 0.1), kv_tokens=int(run.capacity_tokens * times)))
    assert late.kv_sizes == sizes
    assert late.cached_tokens <= late.bound_tokens == what_if(run, "lru", sizes[1]).bound_tokens
    from_the_start = what_if(run, AS_IT_WAS, change=Change(-1, kv_tokens=sizes[0]))
    assert from_the_start.kv_sizes == sizes[:1]
    assert from_the_start.bound_tokens == what_if(run, "lru", sizes[0]).bound_tokens


def test_values_hold_against_what_the_recording_sets_later(run: Recorded) -> None:
    """The recording sets the tunable in its middle: a value that is given from the start on stays."""
    given = Change(-1, tunables=(("kv_caching", "turnover", 0.1),))
    told: list[ev.EngineEvent] = []
    kept = what_if(run, "kv_caching", change=given, take=told.append)
    late = what_if(run, "kv_caching")
    assert kept.cached_by_request != late.cached_by_request
    assert [event.value for event in told if isinstance(event, ev.TunableChanged)] == [0.1]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (Change(5, "best_ever"), PolicyError, "no policy named 'best_ever'"),
        (Change(5, tunables=(("lru", "speed", 1.0),)), TunableError, "lru has no tunable 'speed'"),
        (Change(5, tunables=(("kv_caching", "turnover", -1.0),)), TunableError, "turnover"),
        (Change(5, kv_tokens=0), WhatIfError, "a cache of 0 tokens"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Recorded, change: Change, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        what_if(run, AS_IT_WAS, change=change)
