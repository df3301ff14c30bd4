"""How the screens look, as pictures: each depends on nothing but the messages of the scenario."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from scenario import NODE, T0_NS, run_events
from staging import ScriptedFeed, drawn, keyframe, live_messages, recorded, status, until
from test_anchor_screen import records_at, run_with
from test_fleet import unhappy
from test_follow_graph import many
from test_host_tier import lively
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import Connection, FeedMessage
from radixdeck.console.screens.anchor import AnchorScreen
from radixdeck.storage.anchor_text import AnchorText
from radixdeck.storage.session import open_session

Compare = Callable[..., bool]


def still(*more: FeedMessage) -> ConsoleApp:
    return ConsoleApp(ScriptedFeed([*live_messages(run_events()), *more]), animate=False, clock=lambda: 5.0)


SIZES = [(80, 24), (200, 60)]


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command lies here is not in a picture: it is the one that its bare name means."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)


def pressing(*keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def settle(pilot: Pilot[None]) -> None:
        await drawn(pilot)
        for key in keys:
            await pilot.press(key)
            await drawn(pilot)

    return settle


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", "1234567890")
def test_a_live_run(snap_compare: Compare, mode: str, size: tuple[int, int]) -> None:
    assert snap_compare(still(), terminal_size=size, run_before=pressing(mode))


@pytest.mark.parametrize("size", SIZES)
def test_what_has_just_happened_in_both_tiers(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = ConsoleApp(ScriptedFeed(lively()), animate=False, clock=lambda: 5.0)
    assert snap_compare(app, terminal_size=size, run_before=pressing("2"))


@pytest.mark.parametrize(
    ("mode", "size"), [("3", (140, 45)), ("4", (110, 32)), ("5", (100, 30)), ("8", (120, 34)), ("2", (60, 16))]
)
def test_between_and_the_least(snap_compare: Compare, mode: str, size: tuple[int, int]) -> None:
    assert snap_compare(still(), terminal_size=size, run_before=pressing(mode))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [("2", "T"), ("2", "T", "f", "f", "down", "down", "enter"), ("9", "v")])
def test_another_view_of_a_screen(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    assert snap_compare(still(), terminal_size=size, run_before=pressing(*keys))


@pytest.mark.parametrize("size", SIZES)
def test_a_fleet(snap_compare: Compare, size: tuple[int, int]) -> None:
    away = status("offline", online=False, node="box-4")
    app = still(status(node="box-2"), keyframe(unhappy(), 1, node="box-2"), status("failed", node="box-3"), away)
    assert snap_compare(app, terminal_size=size, run_before=pressing())


@pytest.mark.parametrize("size", SIZES)
def test_twenty_four_agents_who_follow_each_other(snap_compare: Compare, size: tuple[int, int]) -> None:
    feed = ScriptedFeed([Connection(True), status(), keyframe(many(24), 1)])
    assert snap_compare(
        ConsoleApp(feed, animate=False, clock=lambda: 5.0), terminal_size=size, run_before=pressing("9", "v")
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "keys", [("3", "enter"), ("3", "enter", "v"), ("7", "enter"), ("4", "D"), ("3", "question_mark"), ("3", "e")]
)
def test_what_opens_over_a_screen(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    assert snap_compare(still(), terminal_size=size, run_before=pressing(*keys))


@pytest.mark.parametrize("size", SIZES)
def test_the_text_of_an_anchor(snap_compare: Compare, size: tuple[int, int], tmp_path: Path) -> None:
    rules = [f"{number}. Say what was found, where, and how sure that is{', in so many words' * number}." for number in
             range(1, 9)]  # fmt: skip
    versions = [
        AnchorText(
            "critic", fingerprint * 16, T0_NS, 364, f"[system]\nYou judge drafts ({words}).\n" + "\n".join(rules)
        )
        for fingerprint, words in (("a", "of one page"), ("b", "now of whole papers"))
    ]
    recording = asyncio.run(run_with(tmp_path / "run.db", *versions))

    async def settle(pilot: Pilot[None]) -> None:
        await pressing("3", "enter", "a")(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, AnchorScreen)
        await until(pilot, lambda: "of one page" in screen.copied())
        await drawn(pilot)

    assert snap_compare(still(records_at(recording)), terminal_size=size, run_before=settle)


def test_a_lost_connection(snap_compare: Compare) -> None:
    lost = still(Connection(False, "connection refused"))
    assert snap_compare(lost, terminal_size=(100, 30), run_before=pressing("2"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def record(path: Path) -> None:
        (await recorded(path, run_events())).close()

    path = tmp_path_factory.mktemp("looks") / "run.db"
    asyncio.run(record(path))
    return path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", "60")
def test_a_replay(snap_compare: Compare, path: Path, mode: str, size: tuple[int, int]) -> None:
    session = open_session(path)
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False, clock=lambda: 5.0)

    async def settle(pilot: Pilot[None]) -> None:
        assert app.replay is not None
        app.replay.jump(12)
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq > 200)
        await pressing(mode)(pilot)

    assert snap_compare(app, terminal_size=size, run_before=settle)
    session.close()


def test_every_picture_is_of_a_test(request: pytest.FixtureRequest) -> None:
    """Looked at here, because the workers of a shared run do not tell each other which pictures they used."""
    module = request.node.getparent(pytest.Module)
    drawn_by = {item.name for item in module.collect() if "snap_compare" in getattr(item, "fixturenames", ())}
    assert {path.stem for path in (Path(__file__).parent / "__snapshots__" / module.path.stem).iterdir()} == drawn_by


async def test_a_replay_in_the_middle(tmp_path: Path) -> None:
    """As text: a recording cannot be opened before the picture's own event loop runs."""
    session = await recorded(tmp_path / "run.db", run_events())
    feed = ReplayFeed(session, playing=False)
    app = ConsoleApp(feed, animate=False)
    async with app.run_test(size=(100, 30)) as pilot:
        feed.jump(12)
        await pilot.press("6")
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq > 200)
        text = await drawn(pilot)
    assert "paused at 1x, 0:12.0 of 0:24.3 (49 %)" in text
    assert "▲" in text
    assert "‖ 1x 0:12.0 / 0:24.3" in text
    session.close()
