"""The console's benchmark without its terminal: the stream it feeds, its sums, a small recording opened and sought."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from random import Random

import pytest

from radixdeck.console.app import ConsoleApp
from radixdeck.demos.bench_console import FLOORS, judgement, load_words, report, verdict
from radixdeck.demos.bench_console_beside import REQUESTS, SHOWN, begin, write_run
from radixdeck.demos.bench_console_child import ACKNOWLEDGED, SyntheticFeed, Task
from radixdeck.demos.bench_console_picture import draw
from radixdeck.demos.bench_console_run import Driven, Terminal, measure, waits
from radixdeck.demos.bench_console_slices import Slices
from radixdeck.demos.bench_recording import read_recording, write_recording
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
    good = {**{name: floor / 2 for name, floor in FLOORS.items()}, "keys_lost": 0, "others_percent": 3.0}
    bad = {**good, "frame_p95_ms": 51.0, "others_percent": 50.0}
    found = verdict({"residency": good, "events": bad, "recording": {"open_s": 1.9, "seek_max_ms": 101.0}})
    assert found == {
        "cpu_percent": True, "frame_p95_ms": False, "key_p95_ms": True, "event_p95_ms": True, "open_s": True,
        "seek_max_ms": False, "no_key_lost": True,
    }  # fmt: skip
    assert not verdict({"residency": {**good, "keys_lost": 1}})["no_key_lost"]
    assert load_words({"residency": good}) == "others took up to 3 % of the machine while a screen was measured"
    assert "longer than on a quiet one" in load_words({"residency": good, "events": bad})
    text = report({"residency": good, "recording": {"open_s": 1.9}})
    assert "open_s 1.9" in text
    assert text.splitlines()[0].split() == ["residency", "floor"]


async def test_a_recording_is_made_opened_and_sought(tmp_path: Path) -> None:
    path = tmp_path / "long.db"
    await write_recording(path, 3_000, 40)
    found = await asyncio.to_thread(read_recording, path)
    assert found["events"] >= 3_000
    assert 0 < found["seek_p50_ms"] <= found["seek_p95_ms"] <= found["seek_max_ms"]


def test_keys_are_matched_by_their_number_in_whatever_order_and_however_they_come_apart() -> None:
    terminal = Terminal()
    told = f"frame{ACKNOWLEDGED}7\a more{ACKNOWLEDGED}5\a{ACKNOWLEDGED}123".encode()
    terminal.read(told, 1.0)
    terminal.read(b"4\x07 and so on", 2.0)
    terminal.read(f"{ACKNOWLEDGED}7\a".encode(), 3.0)
    assert terminal.seen_s == {7: 1.0, 5: 1.0, 1234: 2.0}
    assert terminal.written > len(told)
    sent_s = {number: number / 10 for number in (5, 6, 7, 99)}
    waited_s, lost = waits(Driven(sent_s, terminal.seen_s, 0), 0.55, 4.0)
    assert waited_s == [pytest.approx(0.3)]
    assert lost == 1


async def test_a_callback_that_holds_the_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.Handle, "_run", asyncio.Handle._run)
    slices = Slices()
    slices.watch()
    asyncio.get_running_loop().call_soon(lambda: sum(range(1_000_000)))
    await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    assert slices.number >= 2
    assert 0.002 < max(slices.longest_cpu_s) <= slices.cpu_s
    slices.clear()
    assert slices.longest_s == []


async def test_what_runs_beside_is_begun_as_its_key_would(tmp_path: Path) -> None:
    """On a shorter run of the same kind."""
    path = tmp_path / "beside.db"
    await asyncio.to_thread(write_run, path, 40)
    assert REQUESTS > 40
    feed = SyntheticFeed(SyntheticRun(50), 100, str(path))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot, asyncio.timeout(30):
        while app.entry is None or not app.entry.synced:
            await pilot.pause(0.02)
        begin(app, "whatif")
        runs, _ = app.whatifs(app.entry)
        assert runs is not None
        while not runs.outcomes:
            await pilot.pause(0.02)
        for what in ("curve", "shadow"):
            begin(app, what)
            await pilot.pause()
            app.draw()
            await pilot.pause()
            shadow, _ = app.shadows.of(app.entry)
            assert shadow is not None
            while shadow.view is None:
                await pilot.pause(0.02)
        assert len(shadow.view.sides) == 2
    assert set(SHOWN) == {"shadow", "curve", "whatif"}


def test_a_console_is_measured_in_a_terminal_of_its_own(tmp_path: Path) -> None:
    found = measure(Task("residency", 6.0, 100, 50, str(tmp_path / "notes.json")))
    assert found["keys"] > 0
    assert 0 < found["key_p50_ms"] <= found["key_p95_ms"]
    assert 0 < found["loop_cpu_percent"] < 100
    assert found["slice_cpu_max_ms"] > 0
    assert found["frames_per_s"] > 0
