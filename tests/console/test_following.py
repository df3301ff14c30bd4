"""A shadow or a curve whose process dies, and a recording that cannot be read from here: said, and what to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shadow_stage import console_on, opened, record, settled
from staging import ScriptedFeed, drawn, live_messages, toasts, until
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.settings import Settings
from radixdeck.console.shadow_worker import Followed
from radixdeck.console.whatif_worker import recording_of
from radixdeck.daemon.wire import Status

NOBODY = 65_534


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("following") / "run.db")


def followed(app: ConsoleApp) -> Followed:
    assert app.entry is not None
    shadow, _ = app.shadows.of(app.entry)
    assert shadow is not None
    return shadow


async def opened_and_killed(pilot: Pilot[None], app: ConsoleApp, key: str) -> Followed:
    """Opened over the policies with a key, its process ended from outside once it has read all there is; what the
    screen says of it is looked at by the caller."""
    await opened(pilot, key)
    dead = followed(app)
    os.kill(dead.pid, signal.SIGKILL)
    await until(pilot, lambda: dead.died)
    return dead


async def test_a_shadow_whose_process_died_is_started_anew_by_its_key(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(120, 40)) as pilot:
        dead = await opened_and_killed(pilot, app, "S")
        assert "ended with -9; S starts it anew" in await drawn(pilot)
        await drawn(pilot)
        assert followed(app) is dead, "it does not start by itself, again and again"
        await pilot.press("S")
        await until(pilot, lambda: "started anew" in toasts(app))  # before that fades
        await settled(pilot)
        anew = followed(app)
        assert anew is not dead
        assert not anew.trouble
        assert anew.view is not None
        await pilot.press("S")
        await drawn(pilot)
        assert followed(app) is anew, "one that runs is left alone"


async def test_the_key_that_was_given_is_the_one_that_is_named(path: Path) -> None:
    app = console_on(path)
    app.settings = Settings(keys={"view.anew": "f9"})
    async with app.run_test(size=(120, 40)) as pilot:
        await opened_and_killed(pilot, app, "S")
        assert "ended with -9; f9 starts it anew" in await drawn(pilot)


async def test_it_is_started_anew_by_whoever_opens_it_again(path: Path) -> None:
    app = console_on(path)
    async with app.run_test(size=(120, 40)) as pilot:
        dead = await opened_and_killed(pilot, app, "C")
        assert "starts it anew" in await drawn(pilot)
        await pilot.press("escape")
        await drawn(pilot)
        await pilot.press("C")
        await settled(pilot)
        assert followed(app) is not dead
        assert "With 2x the KV memory" in await drawn(pilot)


def recorded_at(path: str) -> tuple[Path | None, str]:
    app = ConsoleApp(ScriptedFeed(live_messages([])), animate=False)
    for message in live_messages([]):
        app.fleet.apply(message)
    entry = app.fleet.nodes["box-1"]
    entry.status = Status(node="box-1", online=True, recording=path)
    return recording_of(None, entry)


def test_a_path_that_cannot_even_be_looked_for_is_said_in_words() -> None:
    found, why = recorded_at("/" + "x" * 5000)
    assert found is None
    assert why.startswith("the recording cannot be read from here")
    found, why = recorded_at("/nowhere/\x1b[2Jrun.db")
    assert found is None
    assert "not on this machine" in why
    assert "\x1b" not in why


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """Nobody looks into the folder: it is locked, and root, who may look everywhere, is somebody else meanwhile."""
    folder.chmod(0)
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(me)
        folder.chmod(0o700)


def test_a_folder_of_somebody_else_is_said_in_words(tmp_path: Path) -> None:
    """A daemon of another user of this machine."""
    path = tmp_path / "theirs" / "run.db"
    path.parent.mkdir()
    path.touch()
    assert recorded_at(str(path)) == (path, "")
    with shut(path.parent):
        found = recorded_at(str(path))
    assert found == (None, f"the recording cannot be read from here: {path}: Permission denied")
