"""What was opened for one daemon while another one is looked at: no number, event or order of the one passes for the
other's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace
from scenario import NODE, folded, run_events
from staging import (
    SMALL,
    ScriptedFeed,
    batch,
    drawn,
    in_words,
    keyframe,
    live_messages,
    policies,
    recorded,
    status,
    toasts,
)
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import NodePolicies, NodeStatus
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies.residency import RunState

EVENTS = run_events()
SHIFTED = 37
"""By so many events is the other daemon's run shorter: event number n there is another one."""


@asynccontextmanager
async def two_daemons(other: RunState | None = None) -> AsyncGenerator[tuple[Pilot[None], ScriptedFeed]]:
    """A console of box-1 and box-2 with the same agents, or with `other` as the state of box-2; its clock stands."""
    second = [keyframe(folded(EVENTS[:SHIFTED]), 0, "box-2"), batch(EVENTS[SHIFTED:], 1, "box-2")]
    if other is not None:
        second = [keyframe(other, 0, "box-2")]
    feed = ScriptedFeed(
        [*live_messages(EVENTS), status(node="box-2"), *second, NodePolicies("box-2", policies())]
    )  # fmt: skip
    app = ConsoleApp(feed, animate=False, clock=lambda: 5.0)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        yield pilot, feed


async def test_a_chain_stays_with_its_daemon() -> None:
    async with two_daemons() as (pilot, feed):
        await pilot.press("7")
        await drawn(pilot)
        await pilot.press("enter")
        own = await drawn(pilot)
        assert "rid=" in own
        await pilot.press("right_parenthesis")
        text = in_words(await drawn(pilot))
        assert "this chain is of box-1, which is not shown now" in text
        await pilot.press("p")
        await drawn(pilot)
        assert feed.orders == []
        await pilot.press("enter")
        await drawn(pilot)
        assert pilot.app.current_mode == "harm"
        assert toasts(pilot.app).count("this chain is of box-1, which is not shown now") == 2
        await pilot.press("left_parenthesis")
        assert await drawn(pilot) == own
        await pilot.press("p")
        await drawn(pilot)
        assert [node for node, *_ in feed.orders] == [NODE]


async def test_a_page_of_an_agent_that_is_not_there_tells_nothing_of_it() -> None:
    async with two_daemons(RunState()) as (pilot, _):
        await pilot.press("3")
        await drawn(pilot)
        await pilot.press("enter")
        own = await drawn(pilot)
        assert "hit rate " in own
        assert "asked " in own
        await pilot.press("right_parenthesis")
        text = await drawn(pilot)
        assert "is not known in this run" in text
        for words in ("hit rate ", "first token ", "asked ", "lost to", "tok"):
            assert words not in "\n".join(text.splitlines()[3:-1]), words
        await pilot.press("left_parenthesis")
        assert await drawn(pilot) == own


async def test_results_of_a_what_if_stay_with_the_recording_they_are_of(tmp_path: Path) -> None:
    (await recorded(tmp_path / "run.db", EVENTS)).close()
    async with two_daemons() as (pilot, feed):
        here, there = (status(node=node) for node in (NODE, "box-2"))
        assert here.status is not None
        feed.tell(there, NodeStatus(NODE, replace(here.status, recording=str(tmp_path / "run.db"))))
        await pilot.press("0")
        own = await drawn(pilot)
        assert "as recorded" in own
        await pilot.press("right_parenthesis")
        text = await drawn(pilot)
        assert "nothing to run here" in text
        assert "as recorded" not in text
        assert pilot.app.screen.query_one(SyncTable).content()[1] == []
        await pilot.press("left_parenthesis")
        assert await drawn(pilot) == own
