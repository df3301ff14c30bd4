"""The modelled cache against the real radix cache: the same requests give the same events, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_traffic import Workload

from radixdeck.daemon.engine.requests import Match
from radixdeck.policies.events import EngineEvent, EngineStarted, SessionEnded
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

Maker = Callable[..., Any]
START_NS = 1_700_000_000_000_000_000
NUMBERS_AND_CLOCKS = ("t_ns", "idle_s", "node", "parent", "upper", "instead", "score", "parts")
UNTOLD = ("by_rid", "by_agent")
"""Only the scheduler says for whom it makes room while decoding; here nobody does."""


class Clock:
    """Time for the cache under test: it goes on a little with every look, and further between requests."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        self.ns += 1000
        return self.ns


def watched(ours: Maker, policy: str, capacity: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Clock]:
    """A real cache on that clock, which reports a dispatch when the request is admitted, as in the scheduler."""
    bench, clock = ours(capacity, [policy]), Clock()
    requests = bench.cache.requests
    allocating_for = requests.allocating_for

    def admitted(reqs: list[Any], tokens_of: Any) -> None:
        for req in reqs:
            requests.dispatched(req, Match(len(req.prefix_indices), 0, req.last_node), bench.cache.tree_core)
        allocating_for(reqs, tokens_of)

    monkeypatch.setattr(bench.observer.stream, "now_ns", clock.now_ns)
    monkeypatch.setattr(requests, "allocating_for", admitted)
    bench.observer.stream.emit(
        EngineStarted(t_ns=clock.now_ns(), pid=1, model="none", capacity_tokens=capacity, page_size=1, policy=policy)
    )
    return bench, clock


def run(bench: Any, clock: Clock, workload: Workload, requests: int, at_once: int) -> None:
    """Up to `at_once` requests run together; now and then a session is declared over."""
    running: list[tuple[Any, int]] = []
    begun = 0
    while begun < requests or running:
        clock.ns += workload.random.randrange(5_000_000, 60_000_000)
        if begun < requests and len(running) < at_once:
            tokens, identity, output = workload.next()
            running.append((bench.start(tokens, **identity), output))
            begun += 1
        if len(running) == at_once or begun == requests:
            bench.finish(*running.pop(workload.random.randrange(len(running))))
        if workload.random.random() < 0.03:
            ended = SessionEnded(t_ns=clock.now_ns(), session=f"s{workload.random.randrange(4)}")
            bench.observer.close_session(ended.session)
            bench.observer.stream.emit(ended)


def record(path: Path, events: list[EngineEvent]) -> Path:
    async def write() -> None:
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "none", {}))
        for seq, event in enumerate(events, 1):
            recorder.record(seq, event)
        await recorder.close()

    asyncio.run(write())
    return path


def modelled(path: Path, policy: str) -> tuple[Outcome, list[EngineEvent]]:
    events: list[EngineEvent] = []
    with open_session(path) as session:
        return what_if(Recorded(session), policy, take=events.append), events


def facts(events: list[EngineEvent]) -> list[Any]:
    kept = [msgspec.to_builtins(event) for event in events]
    return [{name: fact[name] for name in fact if name not in (*NUMBERS_AND_CLOCKS, *UNTOLD)} for fact in kept]


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
@pytest.mark.parametrize(("at_once", "capacity"), [(1, 400), (4, 900)])
def test_every_event_is_the_same(
    ours: Maker, policy: str, at_once: int, capacity: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, clock = watched(ours, policy, capacity, monkeypatch)
    run(bench, clock, Workload(5), 400, at_once)
    outcome, events = modelled(record(tmp_path / "run.sqlite", bench.events), policy)
    for real, model in zip(facts(bench.events), facts(events), strict=True):
        assert real == model
    assert outcome.cached_tokens == outcome.recorded_tokens
    assert outcome.evictions > 150
