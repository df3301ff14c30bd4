"""A shadow of which one side broke shows no rates of it, no gain and no winner, and speaks for no switch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from scenario import NODE
from shadow_stage import messages, open_shadow, record, served_events
from staging import ScriptedFeed, drawn, in_words, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.dialogs import Confirm
from radixdeck.console.shadow_run import Choice, Shadow
from radixdeck.console.shadow_words import gain_of, gained
from radixdeck.console.shadow_worker import Followed
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies import events as ev
from radixdeck.policies.tree.observer import Observer
from radixdeck.storage.beside import BesideView

CHOICE = Choice("lru", "kv_caching")
WHY = "the modelled cache: left: KeyError"


def breaks_one(monkeypatch: pytest.MonkeyPatch, at: int = 20) -> None:
    """What follows the tree of kv_caching's model raises at its `at`-th eviction, once."""
    evictions = 0
    say = Observer._say_evicted

    def say_evicted(self: Observer, *args: Any) -> None:
        nonlocal evictions
        if self.stream.host.slot_policy("eviction") == "kv_caching":
            evictions += 1
            if evictions == at:
                raise KeyError("stale")
        say(self, *args)

    monkeypatch.setattr(Observer, "_say_evicted", say_evicted)


def followed(shadow: Shadow, target: int | None = None) -> BesideView:
    while shadow.step() if target is None else shadow.step(target):
        pass
    assert not shadow.trouble
    assert shadow.view is not None
    return shadow.view


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(tmp_path / "run.db")


@pytest.fixture
def just_begun(tmp_path: Path) -> Path:
    """A recording of a start and of nothing that is counted."""
    return record(tmp_path / "begun.db", served_events()[:3])


@pytest.fixture
def broken(path: Path, monkeypatch: pytest.MonkeyPatch) -> BesideView:
    breaks_one(monkeypatch)
    shadow = Shadow(path, CHOICE)
    view = followed(shadow)
    shadow.close()
    return view


def test_it_has_no_rates_and_is_no_reason_for_a_switch(broken: BesideView) -> None:
    on, other = broken.sides
    assert not on.failed
    assert on.hit_rate == broken.served_rate
    assert WHY in other.failed
    assert (other.hit_rate, other.recent_hit_rate, gain_of(broken)) == (None, None, None)
    assert gained(broken) == f"the shadow's kv_caching FAILED: {other.failed}. It shows nothing."


async def test_its_row_says_so_and_the_question_before_a_switch_too(path: Path, broken: BesideView) -> None:
    app = ConsoleApp(ScriptedFeed(messages(path)), animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        told = Followed(path, CHOICE, view=broken, words="following", settled=True)
        app.shadows.of = lambda entry: (told, "")  # type: ignore[method-assign]
        await drawn(pilot)
        table = app.screen.query_one("#beside", SyncTable)
        really, on, other = ([str(cell) for cell in table.get_row_at(row)] for row in range(3))
        assert really[1] == on[1]
        assert on[0].split() == ["lru", "(on)"]
        assert other[0].split() == ["kv_caching"]
        assert [cell.strip() for cell in other[1:6]] == ["-"] * 5
        assert WHY in other[6]
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert f"the shadow's kv_caching FAILED: {WHY}" in in_words(await drawn(pilot))
        await pilot.press("n")


async def test_before_anything_is_counted_there_is_no_gain(just_begun: Path) -> None:
    app = ConsoleApp(ScriptedFeed(messages(just_begun, served_events()[:3])), animate=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await open_shadow(pilot)
        assert "kv_caching beside lru" in (text := await drawn(pilot))
        assert "points" not in text
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None
        assert shadow.view is not None
        assert gained(shadow.view) == ""


def test_when_the_engine_starts_again_both_sides_are_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure alone would be forgotten otherwise, and the wrong sums kept."""
    breaks_one(monkeypatch)
    events = served_events()
    gap_ns = events[-1].t_ns + 1 - events[0].t_ns
    again = [msgspec.structs.replace(event, t_ns=event.t_ns + gap_ns) for event in events]
    shadow = Shadow(record(tmp_path / "run.db", (*events, *again)), CHOICE)
    assert WHY in followed(shadow, len(events)).sides[1].failed
    view = followed(shadow)
    assert [side.failed for side in view.sides] == ["", ""]
    assert [side.requests for side in view.sides] == [80, 80]
    assert view.sides[0].hit_rate == view.served_rate
    assert isinstance(events[0], ev.EngineStarted)
    assert f"following from event {len(events) + 1:,}" in shadow.words
    shadow.close()
