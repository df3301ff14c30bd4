"""The shadow and the curve from the keys: both rates, both lists of victims, other values, and the switch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from scenario import NODE, RUN, T0_NS
from shadow_stage import console_on, messages, open_shadow, opened, record, served_events, settled
from staging import LARGE, SMALL, ScriptedFeed, drawn, in_words, live_messages, toasts, until
from textual.pilot import Pilot
from textual.widgets import Input

from radixdeck.console import shadow_run
from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import Reply
from radixdeck.policies import events as ev
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

Compare = Callable[..., bool]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("shadow") / "run.db")


async def open_curve(pilot: Pilot[None]) -> None:
    await opened(pilot, "C")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_looks_of_a_shadow(snap_compare: Compare, path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(console_on(path), terminal_size=size, run_before=open_shadow)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_looks_of_the_curve(snap_compare: Compare, path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(console_on(path), terminal_size=size, run_before=open_curve)


async def test_both_rates_and_both_lists_and_then_the_switch(path: Path) -> None:
    feed = ScriptedFeed(messages(path))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        text = await drawn(pilot)
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.view is not None
        on, other = shadow.view.sides
        assert on.requests == other.requests == 80
        assert on.hit_rate == shadow.view.served_rate
        assert f"{on.hit_rate:.1%}" in text
        assert f"{other.hit_rate:.1%}" in text
        assert "lru (on) would evict next" in text
        assert "kv_caching would evict next" in text
        assert "following from event 1" in text
        await pilot.press("O", "y")
        await until(pilot, lambda: bool(feed.orders))
        assert feed.orders == [(NODE, "policy", {"name": "kv_caching", "enabled": True})]


async def test_other_values_begin_it_anew_and_are_set_with_the_switch(path: Path) -> None:
    feed = ScriptedFeed(messages(path))
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot, "S", "#tunables")
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        app.screen.query_one("#shadow-tunables").focus()
        name = app.screen.query_one("#shadow-tunables", SyncTable).selected
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.screen.query_one("#answer", Input).value = "0.125"
        await pilot.press("enter")
        assert f"{name} 0.125" in await drawn(pilot)
        anew, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert anew is not None
        assert anew is not shadow
        assert anew.choice.values == ((name, 0.125),)
        await settled(pilot)
        assert not anew.trouble
        await pilot.press("O", "y")
        await until(pilot, lambda: len(feed.orders) == 2)
        assert feed.orders == [
            (NODE, "tune", {"policy": "kv_caching", "name": name, "value": 0.125}),
            (NODE, "policy", {"name": "kv_caching", "enabled": True}),
        ]
        await until(pilot, lambda: not app.screen.query("#shadow-tunables"))
        await drawn(pilot)
        assert app.shadows.of(app.entry) == (None, "no shadow runs")  # type: ignore[arg-type]


async def test_a_value_that_is_refused_leaves_the_policy_and_the_shadow_alone(path: Path) -> None:
    feed = ScriptedFeed(messages(path))
    feed.answer = Reply(id="1", state="refused", detail="not now")
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        app.screen.query_one("#shadow-tunables").focus()
        await pilot.press("right", "O", "y")
        await until(pilot, lambda: "not now" in toasts(app))
        await drawn(pilot)
        assert [name for _, name, _ in feed.orders] == ["tune"]
        await pilot.press("x")
        await drawn(pilot)
        assert app.shadows.of(app.entry) == (None, "no shadow runs")  # type: ignore[arg-type]


async def test_what_the_recording_gains_is_followed(tmp_path: Path) -> None:
    """Nothing new to the shadow is said over the bus: it reads the file."""
    events = served_events()
    half = len(events) // 2
    path = tmp_path / "run.db"
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config={}))
    for seq, event in enumerate(events[:half], 1):
        recorder.record(seq, event)
    await recorder.flush()
    app = ConsoleApp(ScriptedFeed(messages(path)), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_shadow(pilot)
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.view is not None
        assert 20 < shadow.view.sides[0].requests < 70
        for seq, event in enumerate(events[half:], half + 1):
            recorder.record(seq, event)
        await recorder.flush()
        await until(pilot, lambda: shadow.view is not None and shadow.view.sides[0].requests == 80)
    await recorder.close()


async def test_a_shadow_that_is_opened_before_an_engine_started_begins_with_it(tmp_path: Path) -> None:
    """Nothing says how large the cache is until then."""
    path = tmp_path / "run.db"
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0", model="m", config={}))
    told = served_events()
    recorder.record(1, ev.SessionEnded(t_ns=told[0].t_ns, session="s0", reason="operator"))
    await recorder.flush()
    shadow = Shadow(path, Choice("lru", "kv_caching"))
    assert not shadow.step()
    assert "does not say how large the cache is" in shadow.words
    for seq, event in enumerate(told, 2):
        recorder.record(seq, event)
    await recorder.flush()
    while shadow.step():
        pass
    assert not shadow.trouble
    assert shadow.view is not None
    assert shadow.view.sides[0].requests == 80
    shadow.close()
    await recorder.close()


async def test_a_replay_is_followed_to_where_it_stands_and_back(path: Path) -> None:
    session = open_session(path)
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("G", "4")
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == session.last_seq)
        await drawn(pilot)
        await pilot.press("C")
        await settled(pilot)
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.view is not None
        assert shadow.view.curve is not None
        assert shadow.view.curve.requests == 80
        await pilot.press("g")
        await until(pilot, lambda: app.fleet.nodes[NODE].seq < 10)
        await until(pilot, lambda: shadow.view is not None and shadow.view.curve is None)
    session.close()


async def test_the_curve_says_what_more_memory_would_bring(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_curve(pilot)
        text = await drawn(pilot)
        assert "With 2x the KV memory the hit rate would be" in text
        assert "The curve is LRU's" in text
        assert "0.25x" in text
        assert "◆" in text
        await pilot.press("x")
        await drawn(pilot)
        assert app.shadows.of(app.entry) == (None, "no shadow runs")  # type: ignore[arg-type]


async def test_a_policy_that_evicts_nothing_has_no_shadow(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("down", "down", "S")
        await drawn(pilot)
        assert "operator does not decide" in toasts(app)


async def test_without_a_recording_at_hand_it_says_so() -> None:
    """Of a run in which nothing has happened yet there is nothing to hear either."""
    app = ConsoleApp(ScriptedFeed(live_messages([])), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("C")
        assert "over what this console heard since" in in_words(await drawn(pilot))
        await pilot.press("escape")
        await drawn(pilot)
        await pilot.press("S")
        assert "over what this console heard since" in in_words(await drawn(pilot))


async def test_a_recording_that_is_none_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk")
    app = ConsoleApp(ScriptedFeed(messages(tmp_path / "junk.db")), animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_shadow(pilot)
        assert "not a SQLite file" in await drawn(pilot)


def test_a_value_that_the_policy_does_not_know_is_said_in_words(path: Path) -> None:
    shadow = Shadow(path, Choice("lru", "kv_caching", (("horizon", 3.5),)))
    assert not shadow.step()
    assert "no tunable named 'horizon'" in shadow.words
    shadow.close()


def test_of_a_long_run_the_end_is_modelled_from_an_empty_cache(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of before are read, so that nothing is left out."""
    monkeypatch.setattr(shadow_run, "COLD_EVENTS", len(served_events()) // 2)
    whole, late = Shadow(path, Choice("lru", "kv_caching")), Shadow(path, Choice("lru", "kv_caching"))
    while whole.step():
        pass
    monkeypatch.setattr(shadow_run, "MOST_EVENTS", 100)
    late._begin = partial(late._begin, most=100)  # type: ignore[method-assign]
    words = {late.words}
    while late.step():
        words.add(late.words)
    assert whole.view is not None
    assert late.view is not None
    assert late.view.left_out == 0
    assert late.view.warm < 1.0 or late.view.sides[0].requests < whole.view.sides[0].requests
    assert late.view.fed_seq == whole.view.fed_seq
    whole.close()
    late.close()


def test_a_stream_that_is_too_fast_is_skipped_and_it_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = Shadow(path, Choice("lru", "kv_caching"))
    for target in (50, 60):
        while shadow.step(target):
            pass
    monkeypatch.setattr(shadow_run, "COLD_EVENTS", 200)
    shadow._patience = 100
    while shadow.step():
        pass
    assert shadow.skipped > 100
    assert f"skipped {shadow.skipped:,} events" in shadow.words
    shadow.close()
