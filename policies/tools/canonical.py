"""One spelling for JSON values that are the same, so that equal calls are known as equal and different ones never are.

Objects are unordered; numbers are told apart by kind and value (1e2 is 100.0, but 1 is not 1.0, nor is -0.0 0.0: a tool
may tell them apart). What is not plain JSON has no spelling: NaN, infinity, tuples, keys that are not text.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

_SCALARS = (str, int, bool, type(None))


class NotCanonical(ValueError):
    """A value has no spelling. The message says what is in the way, and never quotes it."""


def canonical(value: Any) -> bytes:
    """The spelling, ASCII: the same for two values if and only if they are the same JSON value. Raises NotCanonical."""
    try:
        _check(value)
        text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (RecursionError, ValueError) as error:
        if isinstance(error, NotCanonical):
            raise
        raise NotCanonical("nested too deeply, or a number too long") from error
    return text.encode("ascii")


def _check(value: Any) -> None:
    kind = cast("type[object]", type(value))
    if kind in _SCALARS:
        return
    if kind is float:
        if not math.isfinite(value):
            raise NotCanonical("a number that is not finite")
    elif kind is list:
        for item in cast("list[Any]", value):
            _check(item)
    elif kind is dict:
        for key, item in cast("dict[Any, Any]", value).items():
            if type(key) is not str:
                raise NotCanonical(f"a key of type {type(key).__name__}")
            _check(item)
    else:
        raise NotCanonical(f"a value of type {kind.__name__}")
