"""The console's benchmark without its terminal: the stream it feeds, its sums, a small recording opened and sought."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import pytest

from radixdeck.demos.bench_console import FLOORS, judgement, report, verdict
from radixdeck.demos.bench_console_picture import draw
from radixdeck.demos.bench_recording import open_and_seek, write_recording
from radixdeck.demos.soak import beyond, growth
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


def test_memory_that_grows_has_a_slope_with_its_confidence() -> None:
    rng = Random(1)
    noise = [rng.uniform(-0.5, 0.5) for _ in range(600)]
    steep = growth([80 + place * 20 / 3600 + noise[place] for place in range(600)], 1.0)
    assert abs(steep.per_hour - 20) < steep.plus_minus < 10
    flat = growth([90 + max(0, 100 - place) + noise[place] for place in range(600)], 1.0)
    assert abs(flat.per_hour) < flat.plus_minus < 10
    assert flat.at_most == flat.per_hour + flat.plus_minus
    assert math.isinf(growth([7.0, 7.0], 1.0).plus_minus)
    with pytest.raises(ValueError, match="nothing"):
        growth([], 1.0)


def test_state_beyond_its_bound_is_named() -> None:
    live = [{"nodes": 2_000, "leak": 10 * place, "log_lines": 5_000} for place in range(60)]
    assert beyond(live, {"nodes": 2_000, "leak": 500, "log_lines": 5_000}) == ["leak"]
    assert beyond(live, {"nodes": 2_000, "leak": 600}) == ["log_lines"]
    assert beyond([], {}) == []


def test_growth_and_leaks_are_judged() -> None:
    flat = {"mb_per_hour_at_most": 3.0, "beyond_bounds": []}
    assert verdict({"soak": flat}) == {"memory_flat": True}
    for worse in ({"mb_per_hour_at_most": 11.0}, {"mb_per_hour_at_most": None}, {"beyond_bounds": ["ghosts"]}):
        assert verdict({"soak": {**flat, **worse}}) == {"memory_flat": False}
    assert judgement({"a": True, "b": False}) == "verdict: 1 of 2 floors met; missed b"


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path / "a.png", {"residency": FLOORS}, FLOORS, [80.0, 81.0])
    assert (tmp_path / "a.png").stat().st_size > 1_000


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
