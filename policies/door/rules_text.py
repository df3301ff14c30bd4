"""A policy's rules as they are written, a TOML text: read and checked so that whoever wrote it is told key and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from ..doorkeeping import RulesError
from .toml_lines import line_of

T = TypeVar("T", bound=msgspec.Struct)
_KEY = re.compile(r"`\$?\.?(\w+)(?:\[[^\]]*\])*`$|unknown field `(\w+)`")


def read_toml(text: str) -> dict[str, Any]:
    """What is in the text. Raises RulesError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"not valid TOML: {error}") from error


def wrong(text: str, path: Sequence[str], what: str) -> RulesError:
    """The error about the key at this path."""
    return RulesError(f"line {line_of(text, path)}: {'.'.join(path)}: {what}")


def table_as(text: str, path: Sequence[str], told: Any, kind: type[T]) -> T:
    """The table at this path as a struct. Raises RulesError naming the key that is wrong or not known."""
    if not isinstance(told, dict):
        raise wrong(text, path, "must be a table")
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        key = _KEY.search(message)
        inner = [key[1] or key[2]] if key else []
        known = f"; known: {', '.join(kind.__struct_fields__)}" if key and key[2] else ""
        raise wrong(text, [*path, *inner], message.split(" - at ", maxsplit=1)[0] + known) from error
