"""`radixdeck tail` and `act`: what goes over the broker, without a screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from .cli_options import Broker, Home, Node, address_of, fail

if TYPE_CHECKING:
    from radixdeck.daemon.wire import CommandName

NAMES = frozenset({"agent", "session", "name", "policy"})
"""Arguments of orders that stay text, whatever they read as: an agent may be called 007."""


def tail(
    broker: Broker = "",
    node: Node = "",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", "-k", help="Only events of this kind; repeatable.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for a daemon while none is reached [for ever].")
    ] = None,
    home: Home = "",
) -> None:
    """Print events as JSON lines until Ctrl-C. Exit code 3 when no daemon was reached for as long as --timeout says."""
    from .headless import UnknownKind, tail

    following = tail(address_of(broker, node, home), node=node or None, kinds=kind or [], timeout_s=timeout)
    try:
        raise typer.Exit(asyncio.run(following))
    except (UnknownKind, ValueError) as error:
        raise fail(error) from error


def act(
    name: Annotated[
        str, typer.Argument(help="warm pin unpin retain evict boost quarantine release policy tune flush ...")
    ],
    arguments: Annotated[list[str] | None, typer.Argument(help="name=value, e.g. agent=planner amount=0.5")] = None,
    broker: Broker = "",
    node: Node = "",
    why: Annotated[str, typer.Option(help="Recorded with the action.")] = "",
    home: Home = "",
) -> None:
    """Give one order, print the reply as JSON. Exit code 0 done, 1 refused, 3 no daemon answered."""
    from .headless import act

    given = parse_arguments(arguments or [])
    address = address_of(broker, node, home)
    raise typer.Exit(asyncio.run(act(address, _known(name), given, node=node or None, why=why)))


def _known(name: str) -> CommandName:
    from radixdeck.daemon.wire import CommandName

    if name not in get_args(CommandName):
        raise fail(f"no order {name!r}; known: {', '.join(get_args(CommandName))}")
    return cast("CommandName", name)


def parse_arguments(words: list[str]) -> dict[str, Any]:
    """`name=value` words; a value that reads as a number, true or false is one, unless it is a name."""
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise fail(f"{word!r}: arguments are name=value")
        given[name] = value if name in NAMES else _value(value)
    return given


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
