"""Where an argument of a tool call came from: a value that never changes, a place in the call before it (its arguments
or its result), or the item of an earlier list that is next after the one that the call before it was about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast

import msgspec

Scalar = str | int | float
Place = tuple[str | int, ...]
MAX_LEAVES, MAX_DEPTH, MAX_TEXT, MAX_KEY = 128, 6, 256, 64
MAX_NUMBER = 1 << 63
MAX_FIELD = 24
ANY = "*"
"""In a place: all items of one list."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """same: always `value` (canonical); at: what is at `place`; next: the item after the one that is the argument at
    `of`, in the list at `place` of what `tool` said last."""

    kind: Literal["same", "at", "next"]
    value: bytes = b""
    place: Place = ()
    tool: str = ""
    of: Place = ()

    def words(self) -> str:
        """For people. A value is never told."""
        if self.kind == "same":
            return "as ever"
        if self.kind == "at":
            return in_words(self.place)
        return f"next after {in_words(self.of)} in {in_words(self.place)} of {self.tool}"

    def of_leaves(self, leaves: Leaves) -> Any:
        """The value here and now, None if there is none."""
        return json.loads(self.value) if self.kind == "same" else leaves.get(self)


Leaves = dict[Source, Scalar]
Where = tuple[str, Place]
"""A list that a tool told, at that place of its result."""
Columns = dict[Where, list[Scalar]]


def leaves_of(root: str, value: Any) -> Leaves:
    """The texts and numbers in a JSON value by their place, the outermost first, a bounded number of them."""
    found: Leaves = {}
    level: list[tuple[Place, Any]] = [((root,), value)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[Place, Any]] = []
        for place, one in level:
            if len(found) >= MAX_LEAVES:
                return found
            if is_leaf(one):
                found[Source(kind="at", place=place)] = one
            else:
                below += [((*place, key), part) for key, part in _parts(one)]
        level = below[: 2 * MAX_LEAVES]
    return found


def is_leaf(value: Any) -> bool:
    """Whether it says enough to be traced: neither true nor false, nor empty, nor long, nor infinite."""
    if type(value) is str:
        return 0 < len(value) <= MAX_TEXT
    return type(value) in (int, float) and abs(value) < MAX_NUMBER


def same(one: Any, other: Any) -> bool:
    """Whether two scalars are the same JSON value."""
    return type(one) is type(other) and one == other


def columns_of(tool: str, leaves: Leaves) -> Columns:
    """The lists in these leaves, of values or of one field of objects."""
    found: Columns = {}
    for source, value in leaves.items():
        numbers = [n for n, step in enumerate(source.place) if type(step) is int]
        if source.place[0] == "result" and numbers:
            place = (*source.place[: numbers[-1]], ANY, *source.place[numbers[-1] + 1 :])
            found.setdefault((tool, place), []).append(value)
    return {where: values for where, values in found.items() if len(values) > 1}


def next_in(columns: Iterable[tuple[Where, list[Scalar]]], leaves: Leaves) -> Leaves:
    """What comes next in those lists after what these arguments are about."""
    found: Leaves = {}
    for (tool, place), values in columns:
        for source, value in leaves.items():
            if source.place[0] != "arguments":
                continue
            at = next((n for n, one in enumerate(values) if same(one, value)), len(values))
            if at + 1 < len(values):
                found[Source(kind="next", place=place, tool=tool, of=source.place)] = values[at + 1]
    return found


def in_words(place: Place) -> str:
    """A place as one writes it: result[0].path. A key that does not look like the name of a field may be a value, and
    is not told."""
    return str(place[0]) + "".join(map(_step, place[1:]))


def _step(step: str | int) -> str:
    if type(step) is int or step == ANY:
        return f"[{step}]"
    return f".{step}" if str(step).isidentifier() and len(str(step)) <= MAX_FIELD else ".…"


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if type(value) is list:
        yield from enumerate(cast("list[Any]", value)[:MAX_LEAVES])
    elif type(value) is dict:
        for key, part in list(cast("dict[Any, Any]", value).items())[:MAX_LEAVES]:
            if type(key) is str and len(key) <= MAX_KEY:
                yield key, part
