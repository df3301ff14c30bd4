"""`radixdeck mcp-proxy`: another MCP server, with a memory of its read-only tools."""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import Home, address_of, fail

if TYPE_CHECKING:
    from radixdeck.daemon.wire import BrokerAddress

LOCAL = "local"


def own_name(agent: str, command: Sequence[str]) -> str:
    """A node's name that no other proxy has, of the same agent neither."""
    parts = (re.sub(r"[^A-Za-z0-9_.-]+", "-", part)[:24] for part in (agent or "agent", Path(command[0]).name))
    return "-".join(("mcp", *parts, secrets.token_hex(3)))


def mcp_proxy(
    context: typer.Context,
    rules: Annotated[Path, typer.Option(help="TOML file: which tools are read-only, and what changes what they say.")],
    agent: Annotated[str, typer.Option(envvar="RADIXDECK_AGENT", help="Whose calls these are.")] = "",
    tenant: Annotated[str, typer.Option(envvar="RADIXDECK_TENANT", help="The agent's tenant.")] = "default",
    broker: Annotated[
        str,
        typer.Option(
            "--broker", "-b", envvar="RADIXDECK_BROKER",
            help="Tell a broker what happens: mqtt://user:password@host:port, or local for the daemon's [nobody].",
        ),
    ] = "",
    node: Annotated[str, typer.Option("--node", "-n", help="Name on the broker [mcp-AGENT-COMMAND-xxxxxx].")] = "",
    home: Home = "",
) -> None:  # fmt: skip
    """Stand before the MCP server that the command after `--` starts, and answer read-only tools from memory."""
    try:
        from radixdeck.daemon.tools.proxy import serve
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed; the proxy needs it: pip install 'radixdeck[mcp]'") from error
    from radixdeck.daemon.paths import home_of
    from radixdeck.policies.doorkeeping import RulesError
    from radixdeck.storage.errors import StorageError

    if not context.obj:
        raise fail("mcp-proxy: say which server after `--`, such as: -- npx some-mcp-server")
    source = address_of("" if broker == LOCAL else broker, "", home) if broker else None

    async def address() -> BrokerAddress:
        assert source is not None
        found = source()
        return await found if inspect.isawaitable(found) else found

    def say(words: str) -> None:
        typer.echo(f"radixdeck mcp-proxy: {words}", err=True)

    try:
        code = asyncio.run(
            serve(
                context.obj, rules, agent=agent, tenant=tenant, node=node or own_name(agent, context.obj),
                broker=address if source else None, paths=home_of(home), say=say,
            )
        )  # fmt: skip
    except RulesError as error:
        raise fail(f"{rules}: {error}") from error
    except (OSError, StorageError, ValueError, RuntimeError) as error:
        raise fail(error) from error
    raise typer.Exit(code)
