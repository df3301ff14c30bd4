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
        await pilot.press("4", "down", "down", "down")
        text = in_words(await drawn(pilot))
        assert pilot.app.screen.query_one("#policies", SyncTable).selected == "batch_shaping"
        assert "An anchor is computed once: its other users wait for that, and go first while it is cached." in text
        assert "turnover" in text, "a tunable at least"


async def test_those_that_are_on_come_first_and_the_first_can_be_run_beside() -> None:
    async with console(SMALL, installed()) as pilot:
        await pilot.press("4")
        await drawn(pilot)
        rows = pilot.app.screen.query_one("#policies", SyncTable).content()[1]
        assert [row[0] for row in rows[:3]] == ["[x]", "[x]", "[ ]"]
        assert rows[0][1] == "kv_caching"
        await pilot.press("down", "S")
        await drawn(pilot)
        assert "operator does not decide what is evicted; select one that does: " in toasts(pilot.app)
        assert "lru" in toasts(pilot.app)
        assert not isinstance(pilot.app.screen, ShadowScreen)
