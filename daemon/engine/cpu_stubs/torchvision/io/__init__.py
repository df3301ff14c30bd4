"""Image decoding, which text models never ask for."""

from __future__ import annotations

from enum import Enum
from typing import NoReturn


class ImageReadMode(Enum):
    UNCHANGED = 0
    RGB = 3


def decode_image(*_args: object, **_kwargs: object) -> NoReturn:
    """Raises NotImplementedError: images need the real package."""
    raise NotImplementedError("torchvision is a stand-in for the CPU: install torchvision to decode images")
