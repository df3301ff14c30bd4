"""Small numbers that stand for requests' names, which may be long. The same in every process."""

from __future__ import annotations

import zlib


def tag_of(rid: str) -> int:
    """32 bits."""
    return zlib.crc32(rid.encode())
