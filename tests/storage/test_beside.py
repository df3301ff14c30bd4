"""Policies beside each other on a stream that grows are held against the same policies run over all of it at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from storage_samples import recorded

from radixdeck.demos.streams import StreamSpec, generate_stream
from radixdeck.policies import events as ev
from radixdeck.policies.registry import PolicyError
from radixdeck.storage import model_engine
from radixdeck.storage.beside import Beside
from radixdeck.storage.delay_line import PATIENCE_S, DelayLine
from radixdeck.storage.evaluate import evaluate
from radixdeck.storage.session import open_session
from radixdeck.storage.side import RECENT, SideSpec
from radixdeck.storage.streams import Stream
from radixdeck.storage.whatif import Recorded, what_if

BOTH = (SideSpec("lru", warms=True), SideSpec("kv_caching"))


def told(stream: Stream, kv_tokens: int) -> list[ev.AnyEvent]:
    """What an engine under LRU would have reported of the stream."""
    events: list[ev.AnyEvent] = []
    evaluate(stream, "lru", kv_tokens, take=events.append)
    return [msgspec.structs.replace(event, step=0) if hasattr(event, "step") else event for event in events]


def fed(events: list[ev.AnyEvent], kv_tokens: int, *, slice_events: int = 7, cold: bool = False) -> Beside:
    """As a console does it: some events, then what can be fed of them, then a look."""
    beside = Beside(BOTH, kv_tokens, cold=cold)
    for seq, event in enumerate(events, 1):
        beside.take(seq, event)
        if seq % slice_events == 0:
            for _ in beside.work():
                pass
            beside.view(5)
    for _ in beside.work():
        pass
    return beside


@pytest.fixture(scope="module")
def stream() -> Stream:
    return generate_stream(StreamSpec(seed=11, requests=150))


@pytest.fixture(scope="module")
def events(stream: Stream) -> list[ev.AnyEvent]:
    return told(stream, stream.working_set_tokens // 2)


def test_both_sides_are_the_what_ifs_of_the_whole_recording(
    stream: Stream, events: list[ev.AnyEvent], tmp_path: Path
) -> None:
    """Whatever was asked in between: looking at the next victims changes nothing."""
    kv_tokens = stream.working_set_tokens // 2
    asyncio.run(recorded(tmp_path / "run.db", events))
    with open_session(tmp_path / "run.db") as session:
        whole = [what_if(Recorded(session), spec.policy, kv_tokens) for spec in BOTH]
    view = fed(events, kv_tokens).view(3)
    assert [side.cached_tokens for side in view.sides] == [outcome.cached_tokens for outcome in whole]
    assert [side.evictions for side in view.sides] == [outcome.evictions for outcome in whole]
    assert [side.hurt_tokens for side in view.sides] == [outcome.hurt_tokens for outcome in whole]
    assert view.sides[0].cached_tokens == view.served_cached_tokens < view.sides[1].cached_tokens
    assert view.sides[0].requests == len(stream.requests) == 150


def test_the_next_victims_are_the_ones_that_go(stream: Stream, events: list[ev.AnyEvent]) -> None:
    """Under LRU the first that is named is the first that the engine evicts next, unless it is used before."""
    kv_tokens = stream.working_set_tokens // 2
    beside = Beside(BOTH[:1], kv_tokens, cold=False)
    right = wrong = 0
    expected = None
    for seq, event in enumerate(events, 1):
        if isinstance(event, ev.NodeEvicted) and expected is not None:
            same = (event.role, event.agents, event.tokens) == (expected.role, expected.agents, expected.tokens)
            right, wrong, expected = right + same, wrong + (not same), None
        beside.take(seq, event)
        for _ in beside.work():
            pass
        if isinstance(event, ev.SessionEnded | ev.EngineLoadSampled) and not len(beside.line):
            found = beside.view(1).sides[0].victims
            expected = found[0] if found else None
    assert right > 3
    assert right > 3 * wrong


def test_recent_rates_are_of_the_last_requests_only(stream: Stream) -> None:
    longer = generate_stream(StreamSpec(seed=11, requests=RECENT + 60))
    kv_tokens = stream.working_set_tokens // 2
    events = told(longer, kv_tokens)
    side = fed(events, kv_tokens).view(0).sides[0]
    matches = [event for event in events if isinstance(event, ev.PrefixMatched)][-RECENT:]
    assert side.recent_prompt_tokens == sum(event.prompt_tokens for event in matches)
    assert side.recent_cached_tokens == sum(event.cached_tokens for event in matches)
    assert side.requests == RECENT + 60


def test_joined_in_mid_run_it_counts_from_when_the_caches_have_turned_over(
    stream: Stream, events: list[ev.AnyEvent]
) -> None:
    kv_tokens = stream.working_set_tokens // 2
    beside = Beside(BOTH, kv_tokens, cold=True)
    joined = len(events) // 3
    for event in events[:joined]:
        beside.know(event)
    warm: list[float] = []
    for seq, event in enumerate(events[joined:], joined + 1):
        beside.take(seq, event)
        for _ in beside.work():
            warm.append(beside.view(0).warm)
    assert warm[0] < 0.2
    assert warm == sorted(warm)
    assert warm[-1] == 1.0
    view = beside.view(0)
    assert view.left_out == 0
    assert 0 < view.sides[0].requests < 100
    assert view.sides[0].hit_rate == pytest.approx(view.served_rate, abs=0.05)


def test_without_what_came_before_prompts_are_left_out_and_counted(events: list[ev.AnyEvent]) -> None:
    line = DelayLine()
    for seq, event in enumerate(events[len(events) // 2 :]):
        line.take(seq, event)
    assert line.left_out > 0


def asked(rid: str, t_ns: int, tokens: int = 40) -> list[ev.AnyEvent]:
    tail = bytes(range(4 * tokens))
    who = {"rid": rid, "agent": "a", "session": "s"}
    return [
        ev.PrefixMatched(t_ns=t_ns, prompt_tokens=tokens, cached_tokens=0, tail=tail, **who),
        ev.PrefixInserted(t_ns=t_ns + 1, rid=rid, phase="prompt", total_tokens=tokens, new_tokens=tokens),
        ev.PrefixInserted(t_ns=t_ns + 2, rid=rid, phase="finish", total_tokens=tokens, new_tokens=0),
    ]


def test_a_request_that_is_not_heard_of_again_does_not_hold_up_the_rest() -> None:
    line = DelayLine()
    late = int((PATIENCE_S + 1) * 1e9)
    lost, unheard, later = asked("lost", 1)[:2], asked("unheard", 2)[:1], asked("later", late)
    for seq, event in enumerate([*lost, *unheard, *later]):
        line.take(seq, event)
    out = list(line.ready())
    assert [one.seq for one in out] == list(range(6))
    assert [one.request is not None for one in out if isinstance(one.event, ev.PrefixMatched)] == [True, False, True]
    assert [one.last for one in out] == [False, True, False, False, False, True]
    assert line.given_up == 2


def test_an_engine_that_starts_again_ends_what_was_under_way() -> None:
    line = DelayLine()
    started = ev.EngineStarted(t_ns=5, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru")
    for seq, event in enumerate([*asked("r", 1)[:2], started]):
        line.take(seq, event)
    assert [one.last for one in line.ready()] == [False, True, False]


def test_what_is_not_modelled_and_never_heard_to_finish_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_engine, "MOST_OTHERS", 3)
    started = ev.EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru")
    lost = [asked(f"r{number}", int(number * PATIENCE_S * 1e9))[0] for number in range(1, 10)]
    beside = fed([started, *lost], 100)
    assert beside.line.given_up > 5
    assert [len(side._engine._others) for side in beside.sides] == [3, 3]


def test_a_flush_empties_both_and_a_report_of_the_tree_does_not() -> None:
    started = ev.EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru")
    flush = ev.CacheFlushed(t_ns=20)
    report = ev.NodeAdded(t_ns=21, node=1, parent=0, start=0, tokens=40)
    for between, cached in (([], 39), ([flush], 0), ([flush, report], 39)):
        events = [started, *asked("r1", 1), *between, *asked("r2", 30)]
        assert [side.cached_tokens for side in fed(events, 100).view(0).sides] == [cached, cached]


def test_tunables_that_are_held_are_not_changed_by_the_stream() -> None:
    started = ev.EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru")
    tuned = ev.TunableChanged(t_ns=1, policy="operator", name="half_life_s", value=5.0)
    values = {"operator": {"half_life_s": 77.0}}
    for held, value in ((frozenset[str](), 5.0), (frozenset({"operator.half_life_s"}), 77.0)):
        beside = Beside([SideSpec("lru", values, held)], 100, cold=False)
        for seq, event in enumerate([started, tuned]):
            beside.take(seq, event)
        assert len(list(beside.work())) == 2
        host = beside.sides[0]._host
        assert next(one for one in host.info() if one.name == "operator").values["half_life_s"] == value


def test_a_policy_that_is_left_out_is_not_taken_in_by_being_tuned() -> None:
    beside = Beside([SideSpec("lru")], 100, cold=False)
    beside.take(0, ev.EngineStarted(t_ns=0, pid=1, model="m", capacity_tokens=100, page_size=1, policy="lru"))
    beside.take(1, ev.TunableChanged(t_ns=1, policy="kv_caching", name="turnover", value=3.0))
    assert len(list(beside.work())) == 2
    assert sorted(one.name for one in beside.sides[0]._host.info()) == ["fairness", "lru", "operator"]


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(PolicyError, match="no policy named 'best_ever'"):
        Beside([SideSpec("best_ever")], 100, cold=False)
