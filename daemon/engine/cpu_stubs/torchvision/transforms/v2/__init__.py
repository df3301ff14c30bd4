"""Second version of the transforms: an empty namespace."""

from . import functional

__all__ = ["functional"]
