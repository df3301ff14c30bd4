"""The command line: `radixdeck serve | console | web | tail | status | act | replay | recordings | mcp-proxy | whatif`.
Imports come late."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Any

import typer

from .cli_headless import OrdersBelow, act, status, tail
from .cli_options import (
    Broker,
    Commands,
    ConfigFile,
    Home,
    Node,
    ReadOnly,
    SettingsFile,
    address_of,
    checked_name,
    fail,
)
from .cli_recordings import Recording, recording_of, recordings, replay
from .cli_tools import mcp_proxy
from .cli_web import web

TAKES_ANOTHERS = ("serve", "mcp-proxy")
"""Commands behind which `--` and the words of another program may follow."""

app = typer.Typer(
    cls=Commands,
    name="radixdeck",
    help="The agent runtime layer for SGLang: see, score, predict and act on whose tokens are in the KV cache.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    try:
        engine = f"SGLang {version('sglang')}"
    except PackageNotFoundError:
        engine = "no SGLang"
    typer.echo(f"radixdeck {version('radixdeck')}, {engine}, Python {python_version()}")
    raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Of this, SGLang and Python."),
    ] = False,
) -> None:
    """What comes before a command."""


def main() -> None:
    """Entry point. Ctrl-C ends any command quietly."""
    ours, theirs = _split(sys.argv[1:])
    try:
        app(ours, obj=theirs)
    except KeyboardInterrupt:
        sys.exit(130)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Our words, and those of another program, which are not parsed here."""
    command = next((word for word in words if not word.startswith("-")), "")
    cut = words.index("--") if "--" in words and command in TAKES_ANOTHERS else len(words)
    return words[:cut], words[cut + 1 :]


@app.command()
def serve(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Model id or path for SGLang; none: a small model made on the spot.")
    ] = "",
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address of the front [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the front, 0 for a free one [8330].")] = None,
    node: Node = "",
    broker: Annotated[str | None, typer.Option(help="auto | mosquitto | amqtt | mqtt://... [auto]")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Policy to start with; repeatable [kv_caching].")] = None,
    kv_tokens: Annotated[
        int | None, typer.Option(help="Size of the KV cache in tokens [SGLang decides; on a CPU 32768].")
    ] = None,
    replica: Annotated[
        list[str] | None, typer.Option(help="URL of another server with the same model, for policy hedging.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto | cpu | cuda [auto]")] = None,
    home: Home = "",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the engine's command, and on stderr the daemon's own settings; start nothing."
        ),
    ] = False,
) -> None:
    """Start the engine and the daemon around it. Arguments after `--` go to SGLang's server unchanged."""
    from radixdeck.daemon.config import ConfigError, load_config
    from radixdeck.daemon.engine.args import command
    from radixdeck.daemon.main import own_settings, print_line, serve

    told: dict[str, Any] = {
        "host": host, "port": port, "node": node or None, "broker": broker, "home": home or None,
        "engine": _typed(
            {"model": model or None, "kv_tokens": kv_tokens, "device": device, "sglang_args": context.obj or None,
             "replicas": replica or None}
        ),
        "policy": _typed({"enabled": policy}),
    }  # fmt: skip
    try:
        settings = load_config(config, _typed(told))
    except ConfigError as error:
        raise fail(error) from error
    if dry_run:
        typer.echo("\n".join(own_settings(settings)), err=True)
        typer.echo(shlex.join(command(settings.engine, settings.engine.model or "MODEL", settings.engine.port)))
        return
    raise typer.Exit(serve(settings, print_line))


@app.command()
def console(
    broker: Broker = "",
    node: Node = "",
    read_only: ReadOnly = False,
    home: Home = "",
    settings: SettingsFile = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Print what has a key, by the name for the settings file.")
    ] = False,
) -> None:
    """Open the console on a running daemon, or on every daemon of a broker."""
    from .app import ConsoleApp
    from .collector import calm_collector
    from .ending import run
    from .feed import live_feed
    from .keymap import checked, key_lines
    from .settings import SettingsError, load

    try:
        wanted = load(settings)
        if keys:
            typer.echo("\n".join(key_lines(checked(wanted).keys)))
            return
        feed = live_feed(address_of(broker, node, home), checked_name(node))
        app = ConsoleApp(feed, read_only=read_only, settings=wanted)
    except SettingsError as error:
        raise fail(error) from error
    calm_collector()
    raise typer.Exit(run(app))


app.command()(web)
app.command()(tail)
app.command()(status)
app.command(cls=OrdersBelow)(act)
app.command()(replay)
app.command()(recordings)
app.command("sessions", hidden=True)(recordings)  # its former name; elsewhere a session is a conversation of agents
app.command("mcp-proxy")(mcp_proxy)


@app.command()
def whatif(
    recording: Recording,
    policy: Annotated[list[str] | None, typer.Option("--policy", "-p", help="Repeatable [lru and kv_caching].")] = None,
    kv_tokens: Annotated[int | None, typer.Option(help="Size of the cache in tokens [the recorded one].")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per policy.")] = False,
    home: Home = "",
) -> None:
    """Run a recording's requests through another policy or cache size, without an engine."""
    from radixdeck.policies.host import PolicyError
    from radixdeck.storage.errors import StorageError
    from radixdeck.storage.session import open_session
    from radixdeck.storage.whatif import Recorded, what_if

    from .whatif import lines, progress, rows

    seen = sys.stderr.isatty()
    try:
        with open_session(recording_of(recording, home)) as session:
            recorded = Recorded(session)
            outcomes = [
                what_if(recorded, name, kv_tokens, progress=progress(sys.stderr.write if seen else str, name))
                for name in policy or ("lru", "kv_caching")
            ]
    except (StorageError, PolicyError) as error:
        raise fail(error) from error
    if seen:
        typer.echo("\r", nl=False, err=True)
    for line in rows(outcomes) if json else lines(outcomes):
        typer.echo(line)


def _typed(told: dict[str, Any]) -> dict[str, Any]:
    """Only what was really typed overrides the file."""
    return {key: value for key, value in told.items() if value not in (None, {})}


if __name__ == "__main__":
    main()
