"""What Textual and Rich remember of texts and places, let go of before it gathers: each of their caches has a bound,
but of thousands of entries, and text that changes all day fills them for minutes to hours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

THEIRS = ("textual", "rich")
MOST = 512
"""More than what is on a screen needs."""
TRIM_EVERY_S = 10.0
_CACHE = type(lru_cache(len))


def caches() -> list[Any]:
    """Those of functions and methods in whatever was imported of THEIRS."""
    return _found(tuple(name for name in list(sys.modules) if name.partition(".")[0] in THEIRS))


@lru_cache(maxsize=1)
def _found(modules: tuple[str, ...]) -> list[Any]:
    """Looked for only when more was imported: it takes as long as a frame may."""
    return list({id(cache): cache for name in modules for cache in _of(sys.modules[name])}.values())


def trim_caches() -> None:
    """Empty those that hold more than MOST: what is still on screen is soon in them again."""
    for cache in caches():
        if cache.cache_info().currsize > MOST:
            cache.cache_clear()


def _of(module: ModuleType) -> Iterator[Any]:
    for thing in list(vars(module).values()):
        if isinstance(thing, type):
            for member in vars(thing).values():
                function = getattr(member, "__func__", member)
                if isinstance(function, _CACHE):
                    yield function
        elif isinstance(thing, _CACHE):
            yield thing
