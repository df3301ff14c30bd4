"""The two names of torchvision.transforms.functional that are imported with text models."""

from __future__ import annotations

from enum import Enum
from typing import NoReturn


class InterpolationMode(Enum):
    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def pil_to_tensor(*_args: object, **_kwargs: object) -> NoReturn:
    """Raises NotImplementedError: images need the real package."""
    raise NotImplementedError("torchvision is a stand-in for the CPU: install torchvision to transform images")
