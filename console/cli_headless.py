"""`radixdeck tail`, `status` and `act`: what goes over the broker, without a screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer.core import TyperCommand

from .cli_options import Broker, Home, Node, address_of, checked_name, fail

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

    address = address_of(broker, node, home, waits=True)
    following = tail(address, node=checked_name(node) or None, kinds=kind or [], timeout_s=timeout)
    try:
        raise typer.Exit(asyncio.run(following))
    except UnknownKind as error:
        raise fail(error) from error


def status(
    broker: Broker = "",
    node: Node = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON object per daemon.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for daemons that say nothing.")] = 3.0,
    home: Home = "",
) -> None:
    """Show once how every daemon of the broker stands. Exit code 0 all serve, 1 one does not, 3 none reached."""
    from .headless import status

    address = address_of(broker, node, home)
    raise typer.Exit(asyncio.run(status(address, node=checked_name(node) or None, json=json, timeout_s=timeout)))


class OrdersBelow(TyperCommand):
    """A command whose help ends with the table of orders, which is looked up only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from radixdeck.daemon.orders import ORDERS, synopsis

        with formatter.section("Orders"):
            formatter.write_dl([(synopsis(name), known.does) for name, known in ORDERS.items()], col_max=36)


def _orders(incomplete: str) -> list[str]:
    """For tab completion."""
    from radixdeck.daemon.wire import CommandName

    return [name for name in get_args(CommandName) if name.startswith(incomplete)]


def act(
    name: Annotated[str, typer.Argument(metavar="ORDER", help="One of those below.", autocompletion=_orders)],
    arguments: Annotated[list[str] | None, typer.Argument(help="name=value, e.g. agent=planner amount=0.5")] = None,
    broker: Broker = "",
    node: Node = "",
    why: Annotated[str, typer.Option(help="Recorded with the order.")] = "",
    home: Home = "",
) -> None:
    """Give one order, print the reply as JSON. Exit code 0 done, 1 refused or not answered in time, 3 no daemon
    reached."""
    from .headless import act

    order = _known(name)
    given = parse_arguments(arguments or [])
    address = address_of(broker, node, home)
    raise typer.Exit(asyncio.run(act(address, order, given, node=checked_name(node) or None, why=why)))


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
        if name in given:
            raise fail(f"{name} is given twice")
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
