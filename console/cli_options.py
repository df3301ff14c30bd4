"""Options that several commands have, and how a command fails: in words, with a code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from radixdeck.daemon.wire import BrokerAddress

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


def checked_name(node: str) -> str:
    """The name of a daemon that was typed, '' if none was; one that none can have is told here."""
    from radixdeck.daemon.wire import topic

    try:
        if node:
            topic(node, "status")
    except ValueError as error:
        raise fail(error) from error
    return node


def address_of(broker: str, node: str, home: str) -> Any:
    """The broker that was named, or wherever the local daemon's is now: a restarted daemon has another port."""
    from radixdeck.daemon.discovery import DiscoveryError, find
    from radixdeck.daemon.paths import home_of
    from radixdeck.daemon.wire_client import BrokerError, named_source

    state = home_of(home).state

    def local() -> BrokerAddress:
        try:
            return find(state, node or None).broker
        except DiscoveryError as error:
            raise BrokerError(str(error)) from error

    try:
        if broker:
            return named_source(broker)
        local()
    except BrokerError as error:
        raise fail(error, 3) from error
    return local
