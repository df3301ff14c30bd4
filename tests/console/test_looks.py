"""How the screens look, as pictures: each depends on nothing but the messages of the scenario."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scenario import NODE, run_events
from staging import ScriptedFeed, drawn, keyframe, live_messages, recorded, status, until
from test_fleet import unhappy
from test_follow_graph import many
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import Connection, FeedMessage

Compare = Callable[..., bool]


def still(*more: FeedMessage) -> ConsoleApp:
    return ConsoleApp(ScriptedFeed([*live_messages(run_events()), *more]), animate=False, clock=lambda: 5.0)


@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("1", (80, 24)),
        ("2", (80, 24)),
        ("2", (200, 60)),
        ("3", (140, 45)),
        ("4", (110, 32)),
        ("5", (100, 30)),
        ("7", (80, 24)),
        ("8", (120, 34)),
        ("9", (80, 24)),
    ],
)
def test_a_live_run(snap_compare: Compare, mode: str, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        await pilot.press(mode)
        await drawn(pilot)

    assert snap_compare(still(), terminal_size=size, run_before=settle)


SIZES = [(80, 24), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [("2", "T"), ("2", "T", "f", "f", "down", "down", "enter"), ("9", "v")])
def test_another_view_of_a_screen(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        for key in keys:
            await pilot.press(key)
            await drawn(pilot)

    assert snap_compare(still(), terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", SIZES)
def test_a_fleet(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        await drawn(pilot)

    away = status("offline", online=False, node="box-4")
    app = still(status(node="box-2"), keyframe(unhappy(), 1, node="box-2"), status("failed", node="box-3"), away)
    assert snap_compare(app, terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", SIZES)
def test_twenty_four_agents_who_follow_each_other(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        await pilot.press("9", "v")
        await drawn(pilot)

    feed = ScriptedFeed([Connection(True), status(), keyframe(many(24), 1)])
    assert snap_compare(ConsoleApp(feed, animate=False, clock=lambda: 5.0), terminal_size=size, run_before=settle)


@pytest.mark.parametrize(("keys", "size"), [(("3", "enter"), (160, 45)), (("7", "enter"), (80, 24))])
def test_what_opens_over_a_screen(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        for key in keys:
            await pilot.press(key)
            await drawn(pilot)

    assert snap_compare(still(), terminal_size=size, run_before=settle)


def test_a_lost_connection(snap_compare: Compare) -> None:
    async def settle(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await drawn(pilot)

    assert snap_compare(still(Connection(False, "connection refused")), terminal_size=(100, 30), run_before=settle)


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
