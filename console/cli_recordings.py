"""`radixdeck recordings` and `replay`, and how every command names a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_options import Home, SettingsFile, fail


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """For tab completion. Where none fits, the shell completes files."""
    from radixdeck.storage.naming import LATEST, names

    known = [LATEST, *names(runs_folder(context.params.get("home") or ""))]
    return [name for name in known if name.startswith(incomplete)]


HELP = "A recording: a file, a name from `radixdeck recordings`, or latest"
Recording = Annotated[str, typer.Argument(help=f"{HELP}.", autocompletion=_names)]
MaybeRecording = Annotated[str, typer.Argument(help=f"{HELP}; none: the running daemons.", autocompletion=_names)]


def runs_folder(home: str) -> Path:
    """Where this user's recordings are. Looking for one makes no folder."""
    from radixdeck.daemon.paths import home_of

    return home_of(home).runs_if_any


def recording_of(told: str, home: str) -> Path:
    """The file that is meant. Raises StorageError in words."""
    from radixdeck.storage.naming import find_recording

    return find_recording(told, runs_folder(home))


def replay(recording: Recording, home: Home = "", settings: SettingsFile = None) -> None:
    """Open a recording in the same screens, with pause, step, speed and seek."""
    from radixdeck.storage.errors import StorageError
    from radixdeck.storage.session import open_session

    from .app import ConsoleApp
    from .collector import calm_collector
    from .ending import run
    from .feed import ReplayFeed
    from .settings import SettingsError, load

    try:
        feed = ReplayFeed(open_session(recording_of(recording, home)))
        app = ConsoleApp(feed, read_only=True, settings=load(settings))
    except (StorageError, SettingsError) as error:
        raise fail(error) from error
    calm_collector()
    raise typer.Exit(run(app))


def recordings(
    folder: Annotated[Path | None, typer.Argument(help="Folder of recordings; default: this user's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = "",
) -> None:
    """List recorded runs, newest first."""
    from radixdeck.storage.listing import list_runs

    from .listing import lines, lines_of_folder, rows

    own = runs_folder(home)
    try:
        if folder is not None and not folder.is_dir():
            raise fail(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
        found = list_runs(folder or own)
    except OSError as error:
        raise fail(f"{folder or own}: {error.strerror}") from error
    table = lines(found, own) if folder is None else lines_of_folder(found, folder)
    for line in rows(found) if json else table:
        typer.echo(line)
