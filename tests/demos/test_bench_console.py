"""The console's benchmark without its terminal: the stream it feeds, its sums, a small recording opened and sought."""

from __future__ import annotations

from pathlib import Path

import pytest

from radixdeck.demos.bench_console import FLOORS, open_and_seek, report, slope, verdict, write_recording
from radixdeck.demos.synthetic import NODE_TOKENS, PER_REQUEST, SyntheticRun
from radixdeck.policies.residency import RunState, fold, resident_tokens


def test_the_made_up_stream_could_have_happened() -> None:
    run, state = SyntheticRun(50), RunState()
    for event in run.begin(1):
        fold(state, event)
    for number in range(200):
        events = run.request(1_000 + number)
        assert len(events) == PER_REQUEST
        for event in events:
            fold(state, event)
    assert len(state.nodes) == 50
    assert resident_tokens(state) == 50 * NODE_TOKENS == state.capacity_tokens
    assert state.totals.oddities == 0
    assert state.totals.requests == state.totals.evictions == 200


def test_memory_that_grows_has_a_slope() -> None:
    assert slope([10, 12, 14, 16]) == pytest.approx(2.0)
    assert slope([7, 7, 7]) == 0
    assert slope([5]) == 0


def test_the_worst_screen_decides() -> None:
    good = {name: floor / 2 for name, floor in FLOORS.items()}
    bad = {**good, "frame_p95_ms": 51.0}
    found = verdict({"residency": good, "events": bad, "recording": {"open_s": 1.9, "seek_p95_ms": 101.0}})
    assert found == {
        "cpu_percent": True, "frame_p95_ms": False, "key_p95_ms": True, "event_p95_ms": True, "open_s": True,
        "seek_p95_ms": False,
    }  # fmt: skip
    text = report({"residency": good, "recording": {"open_s": 1.9}})
    assert "open_s 1.9" in text
    assert text.splitlines()[0].split() == ["residency", "floor"]


async def test_a_recording_is_made_opened_and_sought(tmp_path: Path) -> None:
    path = tmp_path / "long.db"
    await write_recording(path, 3_000, 40)
    found = await open_and_seek(path)
    assert found["events"] >= 3_000
    assert 0 < found["seek_p50_ms"] <= found["seek_p95_ms"] <= found["seek_max_ms"]
