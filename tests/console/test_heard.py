"""A daemon whose recording is elsewhere: a shadow and the curve over what the console hears, without any prompt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from scenario import NODE
from shadow_stage import messages, opened, served_events, settled
from staging import ScriptedFeed, drawn, in_words, until

from radixdeck.console import heard as heard_module
from radixdeck.console.app import ConsoleApp
from radixdeck.console.heard import MadeUp
from radixdeck.console.screens.curve import CurveScreen
from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.policies import events as ev
from radixdeck.storage.beside import Beside, BesideView
from radixdeck.storage.errors import RecordingError
from radixdeck.storage.side import SideSpec


def on_the_bus(events: Iterable[ev.AnyEvent]) -> tuple[ev.AnyEvent, ...]:
    """As the daemon publishes them: without hashes of prompts and answers."""
    return tuple(_without_hashes(event) for event in events)


def _without_hashes(event: ev.AnyEvent) -> ev.AnyEvent:
    match event:
        case ev.PrefixMatched():
            return msgspec.structs.replace(event, tail=b"")
        case ev.PrefixInserted():
            return msgspec.structs.replace(event, output=b"")
        case _:
            return event


def modelled(events: Iterable[ev.AnyEvent], before: Iterable[ev.AnyEvent] = (), *, cold: bool = False) -> BesideView:
    """`before`: events of before the moment it begins at. The first event is the start of the engine."""
    told = list(events)
    start = told[0]
    assert isinstance(start, ev.EngineStarted)
    beside = Beside([SideSpec("lru"), SideSpec("kv_caching")], start.capacity_tokens, cold=cold)
    beside.take(1, start)
    for event in before:
        beside.know(event)
    for seq, event in enumerate(told[1:], 2):
        beside.take(seq, event)
        for _ in beside.work():
            pass
    return beside.view(5)


def test_made_up_hashes_give_the_same_as_the_real_ones() -> None:
    real = modelled(served_events())
    made_up = MadeUp()
    ours = modelled(map(made_up.filled, on_the_bus(served_events())))
    assert real.served_prompt_tokens > 0
    assert ours.left_out == real.left_out == 0
    assert [(side.requests, side.hit_rate, side.evictions, side.hurt_tokens) for side in ours.sides] == [
        (side.requests, side.hit_rate, side.evictions, side.hurt_tokens) for side in real.sides
    ]
    assert ours.curve == real.curve


def test_joined_in_the_middle_nothing_is_left_out_and_rates_are_close() -> None:
    """What two prompts from before shared is not told; it is again with the next request of each agent."""
    events = served_events(240)
    third = len(events) // 3
    made_up = MadeUp()
    ours = modelled([events[0], *map(made_up.filled, on_the_bus(events[third:]))], cold=True)
    real = modelled([events[0], *events[third:]], events[:third], cold=True)
    assert ours.left_out == 0
    assert ours.warm == 1.0
    for mine, theirs in zip(ours.sides, real.sides, strict=True):
        assert mine.hit_rate is not None
        assert theirs.hit_rate is not None
        assert abs(mine.hit_rate - theirs.hit_rate) < 0.03


def console_far_away(tmp_path: Path) -> ConsoleApp:
    """The recording that the daemon names is not on this machine."""
    told = messages(tmp_path / "elsewhere.db", on_the_bus(served_events()))
    return ConsoleApp(ScriptedFeed(told), animate=False, clock=lambda: 5.0)


async def test_a_shadow_and_the_curve_run_on_what_is_heard(tmp_path: Path) -> None:
    app = console_far_away(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq >= len(served_events()))
        await opened(pilot, "S")
        assert isinstance(app.screen, ShadowScreen)
        page = in_words(await drawn(pilot))
        assert "over what this console heard since" in page
        assert "kv_caching beside lru" in page
        entry = app.fleet.nodes[NODE]
        shadow, _ = app.shadows.of(entry)
        assert shadow is not None
        assert shadow.view is not None
        assert shadow.view.served_prompt_tokens > 0
        assert shadow.view.left_out == 0
        file = shadow.path
        assert file.stat().st_mode & 0o777 == 0o600
        await pilot.press("escape", "C")
        await until(pilot, lambda: isinstance(app.screen, CurveScreen))
        await settled(pilot)
        page = await drawn(pilot)
        assert "hit rate over KV memory" in page
        assert app.shadows.of(entry)[0] is shadow, "the one that runs has the curve already"
        assert isinstance(app.screen, CurveScreen)
        assert "With 2x the KV memory the hit rate would be" in app.screen.copied()
        suffix, text = app.screen.export()
        lines = text.splitlines()
        assert (suffix, lines[0]) == ("csv", "times_the_memory,kv_tokens,hit_rate")
        capacity = entry.run.capacity_tokens
        assert [line for line in lines if line.startswith(f"1,{capacity},0.")]
        assert lines[-1].startswith(f"4,{4 * capacity},0.")
        await pilot.press("x")
        await until(pilot, lambda: not file.parent.exists())
    assert not file.exists()


async def test_nothing_is_left_behind_when_the_console_ends(tmp_path: Path) -> None:
    app = console_far_away(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await opened(pilot, "C")
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.path.exists()
    assert not shadow.path.parent.exists()


async def test_no_room_for_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RecordingError("no space left")

    monkeypatch.setattr(heard_module, "Recorder", full)
    app = console_far_away(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("4")
        await drawn(pilot)
        await pilot.press("C")
        await drawn(pilot)
        assert "what is heard cannot be kept: no space left" in in_words(await drawn(pilot))
