"""Everything with a key is in the palette by name, with words and the key, and does the same from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import NODE
from shadow_stage import console_on, record
from staging import LARGE, console, drawn, sought, until
from textual.app import SystemCommand
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.screens.curve import CurveScreen
from radixdeck.console.screens.shadow import ShadowScreen
from radixdeck.console.widgets.filter_bar import FilterBar
from radixdeck.console.widgets.tree_view import TreeView
from radixdeck.storage.session import open_session

TEXTUALS = {"Open the command palette", "Quit the app and return to the command prompt."}


def offered(app: ConsoleApp) -> dict[str, SystemCommand]:
    """By title; each only once."""
    commands = list(app.get_system_commands(app.screen))
    titles = [command.title for command in commands]
    assert len(set(titles)) == len(titles)
    return {command.title: command for command in commands}


def console_of(pilot: Pilot[None]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("palette") / "run.db")


async def test_what_matters_is_offered_from_everywhere() -> None:
    """Once, with words, and with its key where it has one; also what is on a screen that nobody has seen yet."""
    wanted = {
        "Policies: shadow": "S", "Policies: curve": "C", "Residency: tree": "T", "Whatif: change here": "F",
        "Agents: sort": "s", "Events: pause": "space",
    }  # fmt: skip
    async with console(LARGE) as pilot:
        for key in "1234567890":
            await pilot.press(key)
            await drawn(pilot)
            commands = offered(console_of(pilot))
            for title, called in wanted.items():
                assert commands[title].help.endswith(f"; key {called}"), key
            assert {"Undo", "Export", "Picture", "Flush", "Warm", "Before"} <= commands.keys(), key
            assert all(command.help for command in commands.values()), key
            assert "Replay: play/pause" not in commands, key


async def test_every_key_that_help_tells_is_offered() -> None:
    async with console(LARGE) as pilot:
        for key in "1234567890":
            await pilot.press(key)
            await drawn(pilot)
            app = console_of(pilot)
            told = {
                active.binding.tooltip
                for active in app.screen.active_bindings.values()
                if active.enabled and active.binding.tooltip
            }
            words = "\n".join(f"{command.title} {command.help}" for command in offered(app).values())
            left_out = {tooltip for tooltip in told if tooltip not in words and ": " not in tooltip}
            ours = {tooltip for tooltip in left_out if tooltip not in TEXTUALS}
            assert ours <= {"what is focused, and every key", "leave; the daemon goes on", "everything by name"}


async def test_a_command_of_another_screen_goes_there_and_does_it(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(140, 40)) as pilot:
        # What the daemon says of its policies comes last, and without it there is none under the cursor.
        await until(pilot, lambda: app.entry is not None and app.entry.table is not None)
        offered(app)["Policies: shadow"].callback()
        await until(pilot, lambda: isinstance(app.screen, ShadowScreen))
        offered(app)["Residency: tree"].callback()
        await until(pilot, lambda: bool(app.screen.query(TreeView)) and app.screen.query_one(TreeView).display)
        offered(app)["Policies: curve"].callback()
        await until(pilot, lambda: isinstance(app.screen, CurveScreen))
        await sought(pilot, "sort by the next", "Agents: sort")
        # An app that ends while its palette looks ends with an error of Textual's.
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CurveScreen))


@pytest.mark.parametrize(("name", "view"), [("filter", "tree"), ("fold", "tree"), ("shade", "map")])
async def test_a_command_of_the_tree_or_of_the_map_shows_it_first(path: Path, name: str, view: str) -> None:
    """Where the other of the two was shown last."""
    app = console_on(path)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("2", *(["T"] if view == "map" else []), "1")
        await drawn(pilot)
        offered(app)[f"Residency: {name}"].callback()
        await until(pilot, lambda: app.current_mode == "residency")
        text = await drawn(pilot)
        assert app.screen.query_one(f"#{view}").display
        assert isinstance(app.focused, FilterBar) is (name == "filter")
        assert ("folded: " in text) is (name == "fold")
        assert ("by age, 0 the youngest" in text) is (name == "shade")


async def test_a_command_of_what_is_focused_works_on_it(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("2")
        await drawn(pilot)
        offered(app)["Residency: tree"].callback()
        await until(pilot, lambda: app.screen.query_one(TreeView).display)
        commands = offered(app)
        told = {title: command.help for title, command in commands.items() if "fold" in title}
        assert len([words for words in told.values() if words.endswith("; key f")]) == 1
        assert len([words for words in told.values() if words.startswith("fold or unfold what is below")]) == 1


async def test_the_keys_of_a_replay_are_there_in_a_replay(path: Path) -> None:
    session = open_session(path)
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        assert app.replay is not None
        offered(app)["Play/pause"].callback()
        await until(pilot, lambda: app.replay is not None and app.replay.playing)
        offered(app)["End"].callback()
        await until(pilot, lambda: app.fleet.nodes[NODE].seq == session.last_seq)
    session.close()
