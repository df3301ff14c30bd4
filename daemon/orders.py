"""Every order with its arguments, as types: a daemon checks what it is told by them, and `radixdeck act --help` and
docs/orders.md are what they say."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, get_type_hints

import msgspec

from radixdeck.policies.doorkeeping import shortened

from .wire import CommandName

DIGITS = 32
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the argument sets; an unknown argument is refused by name. `either`: exactly one of them is given."""

    either: ClassVar[bool] = False


class NoArguments(Arguments, frozen=True):
    pass


class Watch(Arguments, frozen=True):
    resync: bool = False


class OfAgent(Arguments, frozen=True):
    agent: str


class OfAgentOrNode(Arguments, frozen=True):
    either: ClassVar[bool] = True

    agent: str = ""
    node: int = -1


class Retain(Arguments, frozen=True):
    agent: str
    tokens: Annotated[float, msgspec.Meta(ge=-1, le=1e9)] = 0.0
    half_life_s: _Seconds = 600.0


class Boost(Arguments, frozen=True):
    agent: str
    amount: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
    ttl_s: _Seconds = 600.0


class OfPolicy(Arguments, frozen=True):
    name: str
    enabled: bool


class OfTunable(Arguments, frozen=True):
    policy: str
    name: str
    value: float


class OfSession(Arguments, frozen=True):
    session: str


class Known(NamedTuple):
    """One order: what it takes, and what it does, in words."""

    takes: type[Arguments]
    does: str


ORDERS: Mapping[CommandName, Known] = MappingProxyType(
    {
        "watch": Known(Watch, "publish keyframes for 15 s (repeat it); with resync one at once"),
        "warm": Known(OfAgent, "prefill the agent's anchor"),
        "pin": Known(OfAgentOrNode, "never evict it while anything else can go"),
        "unpin": Known(OfAgentOrNode, "take a pin back"),
        "retain": Known(
            Retain, "add a bias that decays, for so many tokens of the agent (0: as many as usual, -1: end it)"
        ),
        "evict": Known(OfAgentOrNode, "drop what is not in use"),
        "boost": Known(Boost, "add to the agent's score, for a while"),
        "quarantine": Known(OfAgent, "refuse the agent's requests"),
        "release": Known(OfAgent, "take a quarantine back"),
        "policy": Known(OfPolicy, "switch a policy on or off"),
        "tune": Known(OfTunable, "change a policy's tunable"),
        "end_session": Known(OfSession, "a session of agents is over; its memory goes sooner"),
        "flush": Known(NoArguments, "empty the cache"),
    }
)


def recordable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they were told, but for integers beyond 64 bits: their first digits, as text. JSON has such, and
    no reader of a recording counts on them."""
    return {
        name: shortened(str(value), DIGITS) if isinstance(value, int) and value.bit_length() > 63 else value
        for name, value in arguments.items()
    }


def synopsis(name: CommandName) -> str:
    """How an order is typed: `boost agent=AGENT amount=NUMBER [ttl_s=600]`; what is in brackets has that default."""
    takes = ORDERS[name].takes
    kinds = get_type_hints(takes)
    required = [f"{field.name}={_placeholder(field.name, kinds[field.name])}" for field in msgspec.structs.fields(takes)
                if field.required or takes.either]  # fmt: skip
    optional = [f"[{field.name}={_shown(field.default)}]" for field in msgspec.structs.fields(takes)
                if not (field.required or takes.either)]  # fmt: skip
    return " ".join(filter(None, [name, (" | " if takes.either else " ").join(required), *optional]))


def _placeholder(name: str, kind: Any) -> str:
    return "true|false" if kind is bool else "NUMBER" if kind in (int, float) else name.upper()


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
