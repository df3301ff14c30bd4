"""What-ifs beside a live daemon: on its machine they run, and where they cannot it is said what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import NODE, folded, run_events
from shadow_stage import console_on, record
from staging import SMALL, ScriptedFeed, console, drawn, in_words, keyframe, toasts, until

from radixdeck.console.feed_messages import Connection
from radixdeck.console.screens.whatif import LIVE
from radixdeck.console.whatif_case import Case
from radixdeck.console.widgets.table import SyncTable


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("live") / "run.db")


async def test_beside_a_live_daemon_of_this_machine_it_runs_and_says_what_needs_a_replay(served: Path) -> None:
    app = console_on(served)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("0")
        text = await drawn(pilot)
        assert "⏎ runs " in text
        assert "as recorded" in text
        table = app.screen.query_one("#cases", SyncTable)
        table.move_cursor(row=[key for key, _ in table._rows].index("lru"))
        await pilot.press("enter")
        runs, _ = app.whatifs(app.fleet.nodes[NODE])
        assert runs is not None
        await until(pilot, lambda: Case("lru") in runs.outcomes)
        for key in "FHf":
            await pilot.press(key)
        await until(pilot, lambda: toasts(app).count(LIVE) == 3)


async def test_before_the_daemon_said_where_it_records_it_says_so() -> None:
    feed = ScriptedFeed([Connection(True), keyframe(folded(run_events()), 1)])
    async with console((120, 40), feed) as pilot:
        await pilot.press("0")
        assert "box-1 has not said yet where it records" in in_words(await drawn(pilot))
