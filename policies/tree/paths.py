"""Ways through a radix tree, SGLang's or the modelled one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def path(node: Any) -> Iterator[Any]:
    """The node and its ancestors, without the root."""
    while node is not None and node.parent is not None:
        yield node
        node = node.parent
