"""The benchmark of costs measures what it says: trees of the size asked for, on every core, whose pools do not fill."""

from __future__ import annotations

import gc
import json
import time
from typing import Any

import pytest

from radixdeck.daemon.engine import bench_cost, bench_trim
from radixdeck.daemon.engine.bench_clock import collected, event_clock_s
from radixdeck.daemon.engine.bench_cost import (
    CHOICE,
    CHOICE_SCORED,
    COLLECTIONS,
    EVICT,
    LEARN,
    NOTE,
    NOTE_ANY,
    SCORE,
    SCORES_DENSE,
    SCORES_SPARSE,
    SNAPSHOT,
    SPLIT,
    STOCK,
    WALK,
    grow_ours,
)
from radixdeck.daemon.engine.bench_trees import NODE_TOKENS, SLACK_TOKENS, Grown, stock_cache
from radixdeck.policies.primitives import Subjects
from radixdeck.policies.tree.trimming import LEAST_TOKENS

NODES, AGENTS = 400, 6


@pytest.mark.parametrize("core", [*STOCK.values(), "ours"])
def test_a_tree_has_the_nodes_asked_for_and_keeps_its_free_tokens(core: str) -> None:
    if core == "ours":
        tree = grow_ours(NODES, AGENTS)
        assert len(tree.observer.ownership.nodes) == NODES
        assert len(tree.observer.index) == NODES - AGENTS
    else:
        tree = Grown(lambda params: stock_cache(params, core), NODES, AGENTS, None)
    assert tree.cache.total_size()[0] == NODES * NODE_TOKENS
    assert tree.free_tokens == SLACK_TOKENS + NODE_TOKENS
    bench = bench_cost.Bench(tree, "ours" if core == "ours" else "SGLang", NODES, 0.0)
    assert bench.evict() > 0
    assert len(bench.split()) == 100
    assert tree.free_tokens == SLACK_TOKENS + NODE_TOKENS


def test_choosing_is_a_part_of_evicting_and_leaves_no_timer_behind() -> None:
    tree = grow_ours(NODES, AGENTS)
    bench = bench_cost.Bench(tree, "ours", NODES, 0.0)
    before = set(vars(tree.observer)), set(vars(tree))
    assert bench.choose() > 0
    assert (set(vars(tree.observer)), set(vars(tree))) == before


def test_everything_is_scored_for_one_measurement_alone() -> None:
    tree = grow_ours(NODES, AGENTS)
    bench = bench_cost.Bench(tree, "ours", NODES, 0.0)
    host: Any = tree.observer.stream.host
    asked: list[float] = []

    def nonzero(subjects: Subjects, now_s: float) -> None:
        asked.append(now_s)

    bench.evict()
    host.nonzero = nonzero
    assert bench.choose() > 0
    assert not asked, "closed sessions have left enough"
    assert bench.choose_scored() > 0
    assert len(asked) == 1
    assert bench.choose() > 0
    assert len(asked) == 1


def test_a_garbage_collection_is_no_part_of_an_event_and_is_told_apart() -> None:
    collected_s, begun_s, all_begun_s = collected.total_s, event_clock_s(), time.thread_time()
    gc.collect()
    all_s, lap_s, collected_s = (
        time.thread_time() - all_begun_s,
        event_clock_s() - begun_s,
        collected.total_s - collected_s,
    )
    assert collected_s > all_s / 2
    assert lap_s < all_s / 2


def test_a_prompt_that_was_just_looked_up_is_learned_from_when_scores_are_asked_for() -> None:
    tree = grow_ours(NODES, AGENTS)
    stream = tree.stream
    assert stream is not None
    stream.learner.took_s = []
    tree.look_up()
    assert [kind for kind, _ in stream.learner.took_s] == []
    stream.host.nonzero(tree.observer.index.by_subject, stream.event_ns / 1e9)
    assert "PrefixMatched" in [kind for kind, _ in stream.learner.took_s]


def test_every_core_and_operation_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    bench_cost.main([str(NODES), str(AGENTS), "--seconds", "0"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    seen = {(line["core"], line["what"]) for line in lines}
    assert {(core, what) for core in STOCK for what in (EVICT, SPLIT, WALK)} <= seen
    assert {("ours", what) for what in (EVICT, CHOICE, CHOICE_SCORED, SPLIT, WALK, SCORE, SNAPSHOT)} <= seen
    assert {("ours", what) for what in (SCORES_SPARSE, SCORES_DENSE, NOTE_ANY, COLLECTIONS)} <= seen
    count = {line["what"]: line["count"] for line in lines if line["core"] == "ours"}
    for kind in ("NodeEvicted", "PrefixMatched", "SessionEnded"):
        assert count[NOTE + kind] == count[LEARN + kind] > 0, "what is noted is learned from, each event once"
    assert all(line["low_us"] <= line["median_us"] <= line["high_us"] for line in lines)


def test_room_for_decoding_is_made_in_pieces_or_by_whole_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    bench_trim.main(["6", "--nodes", "40", "--node-tokens", "400", "--tokens", "2000"])
    cut, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert (cut["trims"], whole["trims"]) == (True, False)
    assert (whole["calls"], whole["freed_tokens"]) == (5, 2000)
    assert cut["calls"] > 20
    assert 2000 <= cut["freed_tokens"] < 2000 + 2 * LEAST_TOKENS
    assert all(cost["us_per_call"] > cost["us_per_token"] > 0 for cost in (cut, whole))
