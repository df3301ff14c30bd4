"""From outcomes and recordings to numbers, and from numbers to verdicts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from radixdeck.demos.apart import Drive
from radixdeck.demos.drive import Outcome
from radixdeck.demos.measure import Bound, bound_of, demand_of, mean_and_spread, percentile, summarise
from radixdeck.policies.events import PrefixInserted, PrefixMatched
from radixdeck.storage.errors import SessionError
from radixdeck.storage.recorder import Recorder, RunInfo


def outcome(index: int, **facts: object) -> Outcome:
    told = {"index": index, "agent": "a", "session": "s", "prompt_tokens": 100, "output_tokens": 8} | facts
    return msgspec.convert(told, Outcome)


def test_a_summary_counts_what_was_answered_and_says_what_was_not() -> None:
    drive = Drive(
        [
            outcome(0, cached_tokens=20, ttft_s=0.1, latency_s=0.2),
            outcome(1, cached_tokens=60, ttft_s=0.3, latency_s=0.4, attempts=2),
            outcome(2, error="HTTP 503", ttft_s=9.0, latency_s=9.0),
        ],
        wall_s=2.0,
    )
    summary = summarise(drive)
    assert (summary.requests, summary.failed, summary.retried) == (3, 1, 1)
    assert summary.hit_rate == pytest.approx(0.4)
    assert summary.ttft_mean_s == pytest.approx(0.2)
    assert summary.requests_per_s == pytest.approx(1.0)
    assert summary.tokens_per_s == pytest.approx(108.0)


def test_a_summary_of_nothing_is_zero() -> None:
    assert summarise(Drive([], 0.0)).hit_rate == 0.0
    assert summarise(Drive([outcome(0, error="HTTP 500")], 1.0)).failed == 1


def test_percentiles_are_values_that_were_seen() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, p) for p in (0, 20, 50, 95, 100)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    assert percentile([], 50) == 0.0


def test_the_spread_is_the_sample_deviation() -> None:
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert mean_and_spread([4.0]) == (4.0, 0.0)


def hashes(*parts: tuple[int, int]) -> bytes:
    """Prefix hashes: `(seed, tokens)` after one another; different from where the parts differ."""
    seen: list[int] = []
    path = 0
    for seed, tokens in parts:
        for n in range(tokens):
            path = (path * 31 + seed * 1_000 + n + 1) % (1 << 32)
            seen.append(path)
    return np.array(seen, dtype="<u4").tobytes()


async def recorded(path: Path) -> Path:
    """Two agents with anchors of 40 tokens take turns three times, 10 fresh tokens each; then another request."""
    info = RunInfo(run="r", node="n", started_ns=1, version="0", model="m", config={})
    recorder = Recorder(path, info)
    seq = 0
    for number in range(7):
        parts = ((number % 2 + 1, 40), (100 + number, 10))
        rid = f"r{number}" if number < 6 else "other"
        for event in (
            PrefixMatched(
                t_ns=seq, rid=rid, agent="a", session="s", prompt_tokens=50, cached_tokens=0, tail=hashes(*parts)
            ),
            PrefixInserted(t_ns=seq, rid=rid, phase="prompt", total_tokens=50, new_tokens=50),
            PrefixInserted(t_ns=seq, rid=rid, phase="finish", total_tokens=50, new_tokens=0),
        ):
            seq += 1
            recorder.record(seq, event)
    await recorder.close()
    return path


async def test_the_bound_covers_the_requests_asked_for_and_no_others(tmp_path: Path) -> None:
    path = await recorded(tmp_path / "run.db")
    rids = [f"r{n}" for n in range(6)]
    roomy = bound_of(demand_of(path, rids), 10_000)
    assert roomy.requests == 6
    assert roomy.hit_rate == pytest.approx(4 * 40 / 300)
    assert bound_of(demand_of(path, rids), 50).hit_rate < roomy.hit_rate
    assert bound_of(demand_of(path, ["r0", "missing"]), 10_000) == Bound(0.0, 1)


def test_a_recording_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="missing"):
        demand_of(tmp_path / "missing.db", [])
