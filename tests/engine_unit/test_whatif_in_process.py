"""The modelled cache against the real radix cache: the same requests give the same events, one by one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_traffic import Workload
from scheduling import Loop

from radixdeck.daemon.engine.control import Control
from radixdeck.daemon.engine.protocol import Observe
from radixdeck.daemon.engine.requests import Match, track_of
from radixdeck.policies import trimming
from radixdeck.policies.cache_shares import GOES_FIRST
from radixdeck.policies.events import (
    AnswerGiven,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    NodeEvicted,
    NodeSplit,
    PolicySwitched,
    PrefixMatched,
    SessionEnded,
    ToolCalled,
)
from radixdeck.policies.guard import Guard
from radixdeck.policies.host import PolicyHost
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

Maker = Callable[..., Any]
START_NS = 1_700_000_000_000_000_000
NUMBERS_AND_CLOCKS = ("t_ns", "idle_s", "node", "parent", "upper", "instead")
PAGE = 16
UNTOLD = ("by_rid", "by_agent")
"""Only a scheduler says for whom it makes room while decoding."""


class Clock:
    """Time for the cache under test: it goes on with every look, by as much as a busy machine lets it, and further
    between requests."""

    def __init__(self, seed: int) -> None:
        self.ns = START_NS
        self._random = random.Random(seed)

    def now_ns(self) -> int:
        self.ns += self._random.randrange(1_000, 2_000_000)
        return self.ns


@pytest.fixture
def watched(ours: Maker, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """A real cache on that clock."""

    def make(policy: str, capacity: int, seed: int, page_size: int = 1) -> tuple[Any, Clock]:
        bench, clock = ours(capacity, [policy], page_size=page_size), Clock(seed)
        monkeypatch.setattr(bench.observer.stream, "now_ns", clock.now_ns)
        start(bench, clock, policy, capacity, page_size)
        return bench, clock

    return make


def start(bench: Any, clock: Clock, policy: str, capacity: int, page_size: int) -> None:
    bench.observer.stream.emit(
        EngineStarted(
            t_ns=clock.now_ns(), pid=1, model="none", capacity_tokens=capacity, page_size=page_size, policy=policy
        )
    )


def admit_when_allocating(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Report a dispatch when the request is admitted, as in the scheduler."""
    requests = bench.cache.requests
    allocating_for = requests.allocating_for

    def admitted(reqs: list[Any], tokens_of: Any) -> None:
        for req in reqs:
            requests.dispatched(req, Match(len(req.prefix_indices), 0, req.last_node), bench.cache.tree_core)
        allocating_for(reqs, tokens_of)

    monkeypatch.setattr(requests, "allocating_for", admitted)


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


def record(path: Path, events: list[EngineEvent], **policy: Any) -> Path:
    async def write() -> None:
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "none", {"policy": policy}))
        for seq, event in enumerate(events, 1):
            recorder.record(seq, event)
        await recorder.close()

    asyncio.run(write())
    return path


def modelled(path: Path, policy: str) -> tuple[Outcome, list[EngineEvent]]:
    events: list[EngineEvent] = []
    with open_session(path) as session:
        return what_if(Recorded(session), policy, take=events.append), events


def facts(events: list[EngineEvent], but: tuple[str, ...] = ()) -> list[Any]:
    kept = [msgspec.to_builtins(event) for event in events]
    return [{name: fact[name] for name in fact if name not in (*NUMBERS_AND_CLOCKS, *but)} for fact in kept]


def cuts(bench: Any) -> list[NodeSplit]:
    """Victims of which something stayed."""
    return [
        event
        for event, then in pairwise(bench.events)
        if isinstance(event, NodeSplit) and isinstance(then, NodeEvicted) and event.node == then.node
    ]


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
@pytest.mark.parametrize(("at_once", "capacity"), [(1, 400), (4, 900)])
def test_every_event_is_the_same(
    watched: Maker, policy: str, at_once: int, capacity: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs take their room all at once here."""
    bench, clock = watched(policy, capacity, 5)
    admit_when_allocating(bench, monkeypatch)
    run(bench, clock, Workload(5), 400, at_once)
    outcome, events = modelled(record(tmp_path / "run.sqlite", bench.events), policy)
    for real, model in zip(facts(bench.events, UNTOLD), facts(events, UNTOLD), strict=True):
        assert real == model
    assert outcome.cached_tokens == outcome.recorded_tokens
    assert outcome.evictions > 150


class Pages(Workload):
    """The same, each token of it a page, and nothing to decode: whole pages are all that is asked for at once."""

    def next(self) -> tuple[list[int], dict[str, Any], int]:
        tokens, identity, _ = super().next()
        anchor = {"anchor": PAGE * identity["anchor"] + 3} if identity else {}
        return [token for token in tokens for _ in range(PAGE)], identity | anchor, 1


@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
@pytest.mark.parametrize(("at_once", "capacity"), [(1, 400), (4, 900)])
def test_pages_are_cut_whole_and_sglang_finds_its_tree_sound_after_every_cut(
    watched: Maker, policy: str, at_once: int, capacity: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of trimming is made smaller here: leaves are longer than what is needed by pieces of 64 tokens."""
    bench, clock = watched(policy, PAGE * capacity, 5, PAGE)
    admit_when_allocating(bench, monkeypatch)
    evict = bench.cache.evict_for_alloc

    def evicted(params: Any) -> Any:
        told = evict(params)
        bench.cache.sanity_check()
        return told

    monkeypatch.setattr(bench.cache, "evict_for_alloc", evicted)
    run(bench, clock, Pages(5), 300, at_once)
    outcome, events = modelled(record(tmp_path / "run.sqlite", bench.events), policy)
    for real, model in zip(facts(bench.events, UNTOLD), facts(events, UNTOLD), strict=True):
        assert real == model
    assert outcome.evictions > 100
    assert len(cuts(bench)) > 20 if policy == "kv_caching" else not cuts(bench)
    assert all(event.tokens % PAGE == 0 for event in bench.kinds(NodeEvicted))


class Callers:
    """Callers of a Loop, and what the daemon tells the engine of them: always late, in the midst of other things."""

    def __init__(self, bench: Any, clock: Clock, seed: int, chunk_tokens: int, overlap: bool) -> None:
        self.loop = Loop(bench, chunk_tokens, overlap, self._finished, lambda: self._random.random() < 0.3)
        self._bench, self._clock = bench, clock
        self._workload = Workload(seed)
        self._random = self._workload.random
        self._control = Control(bench.cache, bench.observer)
        self._untold: list[EngineEvent] = []

    def run(self, requests: int, at_once: int) -> None:
        asked = 0
        while asked < requests or self.loop.is_busy:
            self._clock.ns += self._random.randrange(0, 5_000_000)
            while asked < requests and len(self.loop.waiting) < at_once and self._random.random() < 0.15:
                tokens, identity, output = self._workload.next()
                self.loop.ask(tokens, output * self._random.randrange(1, 4), **identity)
                asked += 1
            self._tell()
            self.loop.turn(at_once)

    def _finished(self, req: Any) -> None:
        who = track_of(req).who
        kind = ToolCalled if self._random.random() < 0.4 else AnswerGiven
        self._untold.append(kind(t_ns=0, rid=who.rid, agent=who.agent, session=who.session))

    def _tell(self) -> None:
        if self._untold and self._random.random() < 0.3:
            assert self._control.obey(Observe("told", self._untold)).ok
            self._untold = []
        if self._random.random() < 0.01:
            ended = SessionEnded(t_ns=0, session=f"s{self._random.randrange(4)}")
            assert self._control.obey(Observe("ended", [ended])).ok
        if self._random.random() < 0.05:
            self._sample()

    def _sample(self) -> None:
        allocator, cache = self._bench.allocator, self._bench.cache
        self._bench.observer.stream.emit(
            EngineLoadSampled(
                t_ns=self._clock.now_ns(), running=0, waiting=0, capacity_tokens=allocator.size,
                used_tokens=allocator.size - allocator.available_size(), evictable_tokens=cache.evictable_size(),
                step=self._bench.observer.step,
            )
        )  # fmt: skip


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes of this traffic are short: so that some are cut all the same."""
    monkeypatch.setattr(trimming, "LEAST_TOKENS", 8)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
@pytest.mark.parametrize(
    ("at_once", "capacity", "chunk_tokens", "overlap"),
    [(1, 400, 64, False), (4, 700, 64, False), (4, 700, 64, True), (4, 700, 2048, True), (8, 1100, 100, True)],
)
@pytest.mark.parametrize("seed", range(3))
def test_batches_make_no_difference(
    watched: Maker,
    policy: str,
    at_once: int,
    capacity: int,
    chunk_tokens: int,
    overlap: bool,
    seed: int,
    tmp_path: Path,
) -> None:
    """Requests that overlap, prompts in chunks, outputs token by token, hints in between: score by score the same."""
    bench, clock = watched(policy, capacity, seed)
    Callers(bench, clock, seed, chunk_tokens, overlap).run(200, at_once)
    outcome, events = modelled(record(tmp_path / "run.sqlite", bench.events), policy)
    for real, model in zip(facts(bench.events), facts(events), strict=True):
        assert real == model
    assert outcome.cached_tokens == outcome.recorded_tokens > 0
    assert outcome.evictions == len(bench.kinds(NodeEvicted)) > 100
    if policy == "kv_caching":
        assert len(cuts(bench)) > 5 or at_once == 8  # hardly any victim is long enough there
        assert len({event.score for event in bench.kinds(NodeEvicted)}) > 20


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("policy", ["lru", "kv_caching"])
def test_nor_does_it_that_fairness_orders_evictions_too(
    ours: Maker, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On from the start, off for a while in the middle."""
    shares = {"fairness": {"cache_share": 0.15}}
    bench, clock = ours(700, host=PolicyHost([policy, "fairness"], shares)), Clock(1)
    monkeypatch.setattr(bench.observer.stream, "now_ns", clock.now_ns)
    start(bench, clock, policy, 700, 1)
    callers = Callers(bench, clock, 1, 64, overlap=True)
    for enabled in (False, True, False):
        callers.run(70, 4)
        bench.observer.stream.emit(PolicySwitched(t_ns=clock.now_ns(), policy="fairness", enabled=enabled))
    path = record(tmp_path / "run.sqlite", bench.events, enabled=[policy, "fairness"], tunables=shares)
    outcome, events = modelled(path, policy)
    assert facts(bench.events) == facts(events)
    assert outcome.cached_tokens == outcome.recorded_tokens > 0
    ordered = [event.score < GOES_FIRST / 2 for event in bench.kinds(NodeEvicted)]
    assert 20 < sum(ordered) < len(ordered) - 20


@pytest.mark.usefixtures("small_pieces")
def test_nor_does_it_that_lru_takes_over_now_and_then(
    watched: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cut and what goes whole is decided at the same moments."""
    matched = Guard.matched

    def rests(self: Guard, event: PrefixMatched, margin: float) -> None:
        matched(self, event, margin)
        self.resting = event.prompt_tokens % 2

    monkeypatch.setattr(Guard, "matched", rests)
    bench, clock = watched("kv_caching", 700, 1)
    Callers(bench, clock, 1, 64, overlap=True).run(200, 4)
    outcome, events = modelled(record(tmp_path / "run.sqlite", bench.events), "kv_caching")
    assert facts(bench.events) == facts(events)
    assert len(cuts(bench)) > 5
    assert outcome.evictions > 100
