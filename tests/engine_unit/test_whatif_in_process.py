"""The modelled cache against the real radix cache: the same requests give the same events, one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from agent_traffic import Workload
from recorded_runs import Callers, Clock, facts, modelled, record, start

from radixdeck.daemon.engine.requests import Match
from radixdeck.policies.events import (
    NodeEvicted,
    NodeSplit,
    PrefixMatched,
    SessionEnded,
)
from radixdeck.policies.reuse.guard import Guard
from radixdeck.policies.tree import trimming

Maker = Callable[..., Any]
PAGE = 16
UNTOLD = ("by_rid", "by_agent")
"""Only a scheduler says for whom it makes room while decoding."""


@pytest.fixture
def watched(ours: Maker, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """A real cache on that clock."""

    def make(policy: str, capacity: int, seed: int, page_size: int = 1) -> tuple[Any, Clock]:
        bench, clock = ours(capacity, [policy], page_size=page_size), Clock(seed)
        monkeypatch.setattr(bench.observer.stream, "now_ns", clock.now_ns)
        start(bench, clock, policy, capacity, page_size)
        return bench, clock

    return make


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


@pytest.mark.parametrize("policy", ["lru", "lru_pages", "cachesage", "cachescout", "kv_caching"])
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
    assert len(cuts(bench)) > 20 if policy != "lru" else not cuts(bench)
    assert all(event.tokens % PAGE == 0 for event in bench.kinds(NodeEvicted))


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
