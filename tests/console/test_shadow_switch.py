"""The switch from a shadow to the live engine while the daemon takes its time, or says no in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scenario import NODE
from shadow_stage import messages, open_shadow, record
from staging import ScriptedFeed, drawn, toasts, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.dialogs import Confirm
from radixdeck.console.feed_messages import FeedMessage
from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.daemon.wire import CommandName, Reply


class Slow(ScriptedFeed):
    """Answers when it may, with `answers` as far as there are any."""

    def __init__(self, told: list[FeedMessage], *answers: Reply) -> None:
        super().__init__(told)
        self.may = asyncio.Event()
        self.answers = list(answers)

    async def command(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None = None, why: str = ""
    ) -> Reply:
        reply = await super().command(node, name, arguments, why)
        await self.may.wait()
        return self.answers.pop(0) if self.answers else reply


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("switch") / "run.db")


class Stage(NamedTuple):
    """A console on which the shadow of kv_caching is open."""

    pilot: Pilot[None]
    app: ConsoleApp
    feed: Slow


@asynccontextmanager
async def beside(path: Path, *answers: Reply) -> AsyncGenerator[Stage]:
    feed = Slow(messages(path), *answers)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_shadow(pilot)
        yield Stage(pilot, app, feed)


async def test_it_ends_the_shadow_that_it_was_about_and_no_other(path: Path) -> None:
    async with beside(path) as (pilot, app, feed):
        await pilot.press("O", "y")
        await until(pilot, lambda: len(feed.orders) == 1)
        await pilot.press("escape")
        await open_shadow(pilot, "lru")
        other, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert other is not None
        assert other.choice.other == "lru"
        feed.may.set()
        await until(pilot, lambda: "switch kv_caching on: done" in toasts(app))
        await drawn(pilot)
        assert app.shadows.of(app.fleet.nodes[NODE]) == (other, "")
        assert isinstance(app.screen, ShadowScreen)


async def test_while_it_is_under_way_it_is_not_ordered_again(path: Path) -> None:
    async with beside(path) as (pilot, app, feed):
        await pilot.press("O", "y")
        await until(pilot, lambda: len(feed.orders) == 1)
        await pilot.press("O")
        await until(pilot, lambda: "it is being switched over already" in toasts(app))
        assert not isinstance(app.screen, Confirm)
        feed.may.set()
        await until(pilot, lambda: not app.screen.query("#shadow-tunables"))
        assert feed.orders == [(NODE, "policy", {"name": "kv_caching", "enabled": True})]


async def test_where_it_is_refused_in_the_middle_it_says_what_was_carried_out(path: Path) -> None:
    answers = Reply(id="1", state="done"), Reply(id="2", state="refused", detail="not now")
    async with beside(path, *answers) as (pilot, app, feed):
        feed.may.set()
        app.screen.query_one("#shadow-tunables").focus()
        await pilot.press("right", "O", "y")
        await until(pilot, lambda: "not now" in toasts(app))
        (_, _, tuned), (_, name, _) = feed.orders
        assert name == "policy"
        assert (
            f"switch kv_caching on refused: not now; carried out before it, and in force: "
            f"set kv_caching.{tuned['name']} to {tuned['value']:g}"
        ) in toasts(app)
        assert isinstance(app.screen, ShadowScreen), "the shadow goes on"
        assert app.shadows.of(app.fleet.nodes[NODE])[0] is not None
