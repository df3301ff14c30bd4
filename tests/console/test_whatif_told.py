"""What the what-if screen says of its rows: why one failed, what it is compared with, and what cannot be typed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenario import NODE
from staging import SMALL, drawn, in_words, recorded, screen_text, until
from test_whatif_screen import thrashing

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.whatif_case import Case
from radixdeck.console.whatif_words import parse_values
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import TunableInfo
from radixdeck.storage.session import Session


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    opened = await recorded(tmp_path / "run.db", thrashing())
    yield opened
    opened.close()


def test_values_are_read_and_refused_in_words() -> None:
    known = [TunableInfo(name=name, value=1.0, default=1.0, low=0.5, high=4.0, unit="", doc="") for name in "ab"]
    assert parse_values("a=1, b = 2.5 ,", known) == (("a", 1.0), ("b", 2.5))
    assert parse_values("", known) == ()
    for text, words in (
        ("a", "name=value"),
        ("=1", "name=value"),
        ("a=x", "not a number"),
        ("c=1", "there is no tunable c"),
        ("a=5", "a: 0.5 to 4"),
        ("a=0", "a: 0.5 to 4"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_values(text, known)


async def test_why_a_row_failed_can_be_read(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0", "down")
        await drawn(pilot)
        assert app.entry is not None
        runs, _ = app.whatifs(app.entry)
        assert runs is not None
        case = Case(app.screen.query_one("#cases", SyncTable).selected)
        runs.failed[case] = "the process that ran it was ended by the machine for want of memory"
        assert f"{case.words}: the process that ran it was ended by the machine for want of memory" in in_words(
            await drawn(pilot)
        )


async def test_what_is_compared_with_stays_in_sight_at_another_size(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0")
        await drawn(pilot)
        table = app.screen.query_one("#cases", SyncTable)
        table.move_cursor(row=[key for key, _ in table._rows].index("lru"))
        await pilot.pause()
        await pilot.press("enter")
        assert app.entry is not None
        runs, _ = app.whatifs(app.entry)
        assert runs is not None
        await until(pilot, lambda: Case("lru") in runs.outcomes)
        await pilot.press("c", "right", "right", "enter")
        await until(pilot, lambda: Case("lru", 2.0) in runs.outcomes and runs.running is None)
        text = await drawn(pilot)
        (based,) = [line for line in text.splitlines() if line.startswith("│  >")]
        assert based.split()[2:5] == ["lru", "110", "0.0"]
        assert "compared with lru at 1x" in text
        assert "+89.8" in text
        table.move_cursor(row=1)
        await pilot.pause()
        assert table.selected == "compared with"
        assert "run a row to see" in await drawn(pilot)
        await pilot.press("left", "left")
        (based,) = [line for line in (await drawn(pilot)).splitlines() if line.startswith("│  >")]
        assert "lru" in based
        assert "at 1x" not in screen_text(app)
