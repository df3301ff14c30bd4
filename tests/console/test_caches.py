"""What Textual and Rich remember of text that changes all day is let go of, and nothing looks different for it."""

from __future__ import annotations

import pytest
from rich.cells import cached_cell_len, cell_len
from rich.segment import Segment
from scenario import run_events
from staging import ScriptedFeed, live_messages
from textual.geometry import Region

from radixdeck.console import caches
from radixdeck.console.app import ConsoleApp


def _fill() -> None:
    """As hours of changing text do."""
    for number in range(3 * caches.MOST):
        cell_len(f"idle {number} s")
        Segment(f"语 {number} of many").split_cells(4)
        Region(0, number, 200, 1).intersection(Region(0, 0, 200, 60))


def test_caches_of_texts_and_places_are_emptied_beyond_a_bound() -> None:
    _fill()
    full = {cache.__qualname__ for cache in caches.caches() if cache.cache_info().currsize > caches.MOST}
    assert {"cached_cell_len", "Segment._split_cells", "Region.intersection"} <= full
    caches.trim_caches()
    assert max(cache.cache_info().currsize for cache in caches.caches()) <= caches.MOST
    assert cell_len("idle 7 s") == len("idle 7 s")


def test_what_holds_little_is_left_alone() -> None:
    caches.trim_caches()
    cell_len("planner")
    hits = cached_cell_len.cache_info().hits
    caches.trim_caches()
    cell_len("planner")
    assert cached_cell_len.cache_info().hits == hits + 1


async def test_a_console_empties_them_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "TRIM_EVERY_S", 0.01)
    app = ConsoleApp(ScriptedFeed(live_messages(run_events())))
    async with app.run_test(size=(120, 40)) as pilot:
        _fill()
        while any(cache.cache_info().currsize > caches.MOST for cache in caches.caches()):
            await pilot.pause(0.02)
