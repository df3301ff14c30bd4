"""`radixdeck mcp-proxy`: another MCP server, with a memory of its read-only tools."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from .cli_options import Home, address_of, fail

if TYPE_CHECKING:
    from radixdeck.daemon.wire import BrokerAddress

LOCAL = "local"
Told = Annotated[
    str,
    typer.Option(
        "--broker", "-b", envvar="RADIXDECK_BROKER",
        help="Tell a broker what happens: mqtt://user:password@host:port, or local for the daemon's [nobody].",
    ),
]  # fmt: skip
Header = Annotated[
    list[str] | None,
    typer.Option(help="For --url, a header and the environment variable that holds it: Authorization=MY_TOKEN."),
]


def own_name(agent: str, command: Sequence[str]) -> str:
    """A node's name that no other proxy has, of the same agent neither."""
    parts = (re.sub(r"[^A-Za-z0-9_.-]+", "-", part)[:24] for part in (agent or "agent", Path(command[0]).name))
    return "-".join(("mcp", *parts, secrets.token_hex(3)))


def _say(words: str) -> None:
    typer.echo(f"radixdeck mcp-proxy: {words}", err=True)


def _http(url: str) -> str:
    if url and (not _host(url) or urlsplit(url).scheme not in ("http", "https")):
        raise fail("mcp-proxy: --url is no http:// or https:// address")
    return url


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _headers(told: Sequence[str], url: str) -> dict[str, str]:
    """Headers by name. Their values are secrets, and a command line is none."""
    headers: dict[str, str] = {}
    for pair in told:
        name, equals, variable = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9-]+", name):  # it may be a secret: it is not quoted
            raise fail("mcp-proxy: --header: write NAME=VARIABLE, with the environment variable that holds the value")
        if not url or variable not in os.environ:
            raise fail(f"mcp-proxy: --header {name}=...: needs --url, a name, and an environment variable that is set")
        headers[name] = os.environ[variable]
    return headers


def mcp_proxy(
    context: typer.Context,
    rules: Annotated[Path, typer.Option(help="TOML file: which tools are read-only, and what changes what they say.")],
    safety_rules: Annotated[
        Path | None, typer.Option(help="TOML file of the policy safety: which agent may call which tools.")
    ] = None,
    agent: Annotated[str, typer.Option(envvar="RADIXDECK_AGENT", help="Whose calls these are.")] = "",
    tenant: Annotated[str, typer.Option(envvar="RADIXDECK_TENANT", help="The agent's tenant.")] = "default",
    broker: Told = "",
    node: Annotated[str, typer.Option("--node", "-n", help="Name on the broker [mcp-AGENT-COMMAND-xxxxxx].")] = "",
    url: Annotated[str, typer.Option(help="The server's, if it is one over HTTP; nothing after `--` then.")] = "",
    header: Header = None,
    home: Home = "",
) -> None:
    """Stand before an MCP server, which the command after `--` starts or --url names, and answer read-only tools from
    memory."""
    if bool(context.obj) == bool(url):
        raise fail("mcp-proxy: say which server after `--`, such as: -- npx some-mcp-server, or where it is: --url")
    command, at, headers = context.obj or (), _http(url), _headers(header or [], url)
    try:
        from radixdeck.daemon.tools.proxy import serve
        from radixdeck.daemon.tools.upstream import Upstream
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed; the proxy needs it: pip install 'radixdeck[mcp]'") from error
    from radixdeck.daemon.paths import home_of
    from radixdeck.policies.doorkeeping import RulesError
    from radixdeck.storage.errors import StorageError

    upstream = Upstream(command=command, url=at, headers=headers)
    source = address_of("" if broker == LOCAL else broker, "", home) if broker else None

    async def address() -> BrokerAddress:
        assert source is not None
        found = source()
        return await found if inspect.isawaitable(found) else found

    try:
        code = asyncio.run(
            serve(
                upstream, rules, safety_rules=safety_rules, agent=agent, tenant=tenant,
                node=node or own_name(agent, context.obj or [_host(url)]), returns=bool(node),
                broker=address if source else None, paths=home_of(home), say=_say,
            )
        )  # fmt: skip
    except RulesError as error:
        raise fail(error) from error
    except (OSError, StorageError, ValueError, RuntimeError) as error:
        raise fail(error) from error
    raise typer.Exit(code)
