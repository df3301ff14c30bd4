"""Every order is in one table with its arguments, which the daemon, the help of `act` and docs/orders.md go by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest

from radixdeck.daemon.orders import ORDERS, synopsis
from radixdeck.daemon.wire import CommandName

DOC = (Path(__file__).parents[2] / "docs" / "orders.md").read_text(encoding="utf-8")
NAMES = cast("tuple[CommandName, ...]", get_args(CommandName))


def test_the_table_has_every_order_of_the_wire() -> None:
    assert tuple(ORDERS) == NAMES


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("flush", "flush"),
        ("watch", "watch [resync=false]"),
        ("evict", "evict agent=AGENT | node=NUMBER"),
        ("boost", "boost agent=AGENT amount=NUMBER [ttl_s=600]"),
        ("policy", "policy name=NAME enabled=true|false"),
    ],
)
def test_a_synopsis_says_what_is_typed(name: CommandName, typed: str) -> None:
    assert synopsis(name) == typed


def test_the_document_lists_every_order_as_it_is_typed() -> None:
    rows = re.findall(r"^\| `((?:\\\||[^`])+)` \| (.+) \|$", DOC.split("What is in brackets")[0], re.M)
    assert rows == [(synopsis(name).replace("|", "\\|"), ORDERS[name].does) for name in NAMES]


def test_the_document_explains_every_argument_and_no_other() -> None:
    table = DOC.split("| argument |", 1)[1].split("\n\n", 1)[0]
    explained = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:])))
    assert explained == {field.name for known in ORDERS.values() for field in msgspec.structs.fields(known.takes)}


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("flush", {"agent": "x"}, "agent"),
        ("boost", {"agent": "x"}, "amount"),
        ("boost", {"agent": "x", "amount": 1e7}, "amount"),
        ("retain", {"agent": "x", "half_life_s": 0}, "half_life_s"),
        ("tune", {"policy": "lru", "name": "x", "value": "high"}, "value"),
    ],
)
def test_arguments_of_the_wrong_kind_are_told_by_name(name: CommandName, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(arguments, ORDERS[name].takes)


def test_minus_one_token_ends_a_retention() -> None:
    told = msgspec.convert({"agent": "x", "tokens": -1}, ORDERS["retain"].takes)
    assert msgspec.structs.asdict(told)["tokens"] == -1
