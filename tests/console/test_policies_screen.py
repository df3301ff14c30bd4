"""All policies there are, on terminals of every size: what the one under the cursor does is told in full."""

from __future__ import annotations

import pytest
from scenario import run_events
from staging import LARGE, SMALL, ScriptedFeed, console, drawn, in_words, live_messages, toasts

from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.console.widgets.table import SyncTable

SIZES = [(60, 16), SMALL, (80, 40), (100, 30), (120, 34), (120, 40), (132, 43), (160, 45), (240, 30), LARGE]


def installed() -> ScriptedFeed:
    """A daemon that has not said its policies yet: the console lists what is installed, more than fit."""
    return ScriptedFeed(live_messages(run_events())[:-1])


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_policy_does_is_told_in_full(size: tuple[int, int]) -> None:
    async with console(size, installed()) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        table = pilot.app.screen.query_one("#policies", SyncTable)
        table.move_cursor(row=[key for key, _ in table._rows].index("batch_shaping"))
        text = in_words(await drawn(pilot))
        assert "An anchor is computed once: its other users wait for that, and go first while it is cached." in text
        assert "turnover" in text, "a tunable at least"


async def test_those_that_decide_what_is_evicted_come_first_and_can_be_run_beside() -> None:
    async with console(SMALL, installed()) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        slots = [row[2] for row in pilot.app.screen.query_one("#policies", SyncTable).content()[1]]
        evicting = slots.count("eviction")
        assert slots == ["eviction"] * evicting + ["-"] * (len(slots) - evicting)
        await pilot.press("end", "S")
        await drawn(pilot)
        assert "speculation does not decide what is evicted; select one that does: " in toasts(pilot.app)
        assert not isinstance(pilot.app.screen, ShadowScreen)
