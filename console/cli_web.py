"""`radixdeck web`: the console or a recording in a browser of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_options import Broker, Home, Node, ReadOnly, SettingsFile, address_of, checked_name, fail
from .cli_recordings import MaybeRecording, recording_of


def web(
    recording: MaybeRecording = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1, 0 for a free one.")] = 8331,
    broker: Broker = "",
    node: Node = "",
    read_only: ReadOnly = False,
    home: Home = "",
    settings: SettingsFile = None,
) -> None:
    """Serve the console, or a recording, to browsers on this machine; every tab is a console of its own."""
    from .settings import SettingsError, load

    try:
        load(settings)
        from .web import WebError, serve
    except SettingsError as error:
        raise fail(error) from error
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed; the browser needs it: pip install 'radixdeck[web]'") from error
    told = ["--settings", str(settings.absolute())] if settings else []
    if recording:
        words = ["replay", str(_readable(recording, home)), *told]
    else:
        address_of(broker, checked_name(node), home)
        given = {"--broker": broker, "--node": node, "--home": home}
        words = ["console", *(word for name, value in given.items() if value for word in (name, value)), *told]
        words += ["--read-only"] if read_only else []
    try:
        serve(words, port, typer.echo)
    except WebError as error:
        raise fail(error) from error


def _readable(told: str, home: str) -> Path:
    """The recording that is meant. Fails here rather than in every tab."""
    from radixdeck.storage.errors import StorageError
    from radixdeck.storage.session import open_session

    try:
        path = recording_of(told, home).absolute()
        open_session(path).close()
    except StorageError as error:
        raise fail(error) from error
    return path
