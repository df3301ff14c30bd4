"""A trie of prefix-hash sequences whose edges are long: each node is a run of tokens that are always used together.

Hashes are of whole prefixes, so two sequences that agree at one depth agree at every depth before it, and where they
part is found by halving.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint32]
ROOT = 0


class Trie:
    """Nodes are numbers; node n covers depths `begin[n]` to `end[n]` (exclusive, in tokens) of `source[n]`."""

    def __init__(self) -> None:
        self.begin = [0]
        self.end = [0]
        self.parent = [ROOT]
        self.source: list[Hashes] = [np.empty(0, np.uint32)]
        self.children: list[dict[int, int]] = [{}]

    def size(self, node: int) -> int:
        """Tokens of a node."""
        return self.end[node] - self.begin[node]

    def insert(self, hashes: Hashes) -> int:
        """Add a sequence; the node it ends in, which ends exactly there."""
        node, depth = self.descend(hashes)
        return node if depth == len(hashes) else self._add(node, depth, len(hashes), hashes)

    def descend(self, hashes: Hashes) -> tuple[int, int]:
        """The deepest node that `hashes` leads to and its end; a node entered only in part is split there."""
        node, depth = ROOT, 0
        while depth < len(hashes):
            child = self.children[node].get(int(hashes[depth]))
            if child is None:
                break
            common = self._common(child, hashes)
            whole = common == self.end[child]
            node, depth = child if whole else self.split(child, common), common
            if not whole:
                break
        return node, depth

    def path(self, hashes: Hashes) -> list[int]:
        """Nodes from the root down to the end of a sequence that was inserted; less if two prefixes share a hash."""
        nodes: list[int] = []
        node, depth = ROOT, 0
        while depth < len(hashes) and int(hashes[depth]) in self.children[node]:
            node = self.children[node][int(hashes[depth])]
            depth = self.end[node]
            nodes.append(node)
        return nodes

    def split(self, node: int, depth: int) -> int:
        """Cut a node in two at `depth`; it keeps its lower part. Returns the new node above it."""
        above, source = self.parent[node], self.source[node]
        upper = self._add(above, self.begin[node], depth, source)
        self.begin[node], self.parent[node] = depth, upper
        self.children[upper][int(source[depth])] = node
        return upper

    def _add(self, parent: int, begin: int, end: int, source: Hashes) -> int:
        node = len(self.begin)
        self.begin.append(begin)
        self.end.append(end)
        self.parent.append(parent)
        self.source.append(source)
        self.children.append({})
        self.children[parent][int(source[begin])] = node
        return node

    def _common(self, node: int, hashes: Hashes) -> int:
        """Depth at which `hashes`, which agrees with the first token of `node`, leaves it."""
        return parting(self.source[node], hashes, self.begin[node] + 1, min(self.end[node], len(hashes)))


def parting(left: Hashes, right: Hashes, low: int, high: int) -> int:
    """Depth at which two sequences that agree before `low` part, at most `high`."""
    if left[high - 1] == right[high - 1]:
        return high
    while low < high:
        middle = (low + high) // 2
        if left[middle] == right[middle]:
            low = middle + 1
        else:
            high = middle
    return low
