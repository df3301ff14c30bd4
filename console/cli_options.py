"""Options that several commands have, and how a command fails: in words, with a code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from radixdeck.daemon.wire import BrokerAddress

UNUSABLE = 4
"""Exit code of every command whose output cannot be written, or that needs a file or folder that cannot be used."""
OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EIO)
"""What writing to a pipe, a file or a terminal fails with."""

Node = Annotated[str, typer.Option("--node", "-n", help="Name of the daemon; not needed if there is only one.")]
Broker = Annotated[
    str, typer.Option("--broker", "-b", help="mqtt://user:password@host:port; default: the local daemon's.")
]
Home = Annotated[
    str,
    typer.Option("--home", envvar="RADIXDECK_HOME", help="Folder of recordings, logs and models; default: the user's."),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with theme and keys; default: the user's, if there.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; default ./radixdeck.toml if there.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Look, but never act.")]


def fail(words: object, code: int = 2) -> typer.Exit:
    """Say why, and what to raise."""
    typer.echo(f"radixdeck: {words}", err=True)
    return typer.Exit(code)


class Commands(TyperGroup):
    """All commands. One that cannot read or write ends in words, or without any where nobody reads its output any
    more; so does help, which is written while options are read."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _in_words():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _in_words():
            return super().invoke(ctx)


@contextmanager
def _in_words() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if not error.filename and error.errno not in OUTPUT:
            raise
        if not error.filename:  # or Python would try again, and fail, when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(UNUSABLE) from error
        what = f"{error.filename}: {error.strerror}" if error.filename else f"output: {error.strerror}"
        raise fail(what, UNUSABLE) from error


def checked_name(node: str) -> str:
    """The name of a daemon that was typed, '' if none was; one that none can have is told here."""
    from radixdeck.daemon.wire import topic

    try:
        if node:
            topic(node, "status")
    except ValueError as error:
        raise fail(error) from error
    return node


def address_of(broker: str, node: str, home: str, *, waits: bool = False) -> Any:
    """The broker that was named, or wherever the local daemon's is now: a restarted daemon has another port. Fails
    where none runs now, but for who `waits`."""
    from radixdeck.daemon.discovery import DiscoveryError, find
    from radixdeck.daemon.paths import home_of
    from radixdeck.daemon.wire_client import BrokerError, named_source

    state = home_of(home).state_if_any

    def local() -> BrokerAddress:
        try:
            return find(state, node or None).broker
        except DiscoveryError as error:
            raise BrokerError(str(error)) from error

    try:
        if broker:
            return named_source(broker)
        if not waits:
            local()
    except BrokerError as error:
        raise fail(error, 3) from error
    return local
