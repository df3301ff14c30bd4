"""What the map and the tree both say."""

from __future__ import annotations

from textual.message import Message


class NodeSelected(Message):
    """Another node is under the cursor."""

    def __init__(self, node: int) -> None:
        super().__init__()
        self.node = node
