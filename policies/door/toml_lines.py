"""Where in a TOML text a key stands: the standard parser says what is in a file, not in which line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, cast


def line_of(text: str, path: Sequence[str]) -> int:
    """The line (from 1) of the key at this path, else of the innermost table around it that is found, else 1."""
    found, depth = 1, 0
    for number, keys in _keys(text):
        common = len(keys) if list(path[: len(keys)]) == keys else 0
        if common > depth:
            found, depth = number, common
    return found


def _keys(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every table header and every key, each as (line, path)."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        told = line.strip()
        if told.startswith("["):
            table = _path(told) or table
            yield number, table
        elif "=" in told and (key := _path(told.split("=", 1)[0] + "= 0")):
            yield number, [*table, *key]


def _path(line: str) -> list[str]:
    """The keys of one line of TOML, outermost first; empty if it is none by itself."""
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return []
    keys: list[str] = []
    while isinstance(value, dict | list) and value:
        if isinstance(value, list):
            value = cast("list[Any]", value)[0]
            continue
        key, value = next(iter(cast("dict[str, Any]", value).items()))
        keys.append(key)
    return keys
