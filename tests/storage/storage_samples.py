"""Small real inputs that the storage tests share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radixdeck.storage.trie import Hashes


class Numbering:
    """Prefix hashes without collisions: every different prefix gets the next number."""

    def __init__(self) -> None:
        self._children: list[dict[str, int]] = [{}]

    def hashes(self, tokens: Sequence[str]) -> Hashes:
        """One number per token, the same for the same prefix."""
        node, numbers = 0, []
        for token in tokens:
            if token not in self._children[node]:
                self._children[node][token] = len(self._children)
                self._children.append({})
            node = self._children[node][token]
            numbers.append(node)
        return np.array(numbers, np.uint32)
