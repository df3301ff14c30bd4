"""Small numbers that stand for requests' names, which may be long. The same in every process."""

from __future__ import annotations

import functools
import zlib


@functools.lru_cache(maxsize=256)
def tag_of(rid: str) -> int:
    """32 bits."""
    return zlib.crc32(rid.encode())
