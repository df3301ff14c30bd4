"""SGLang's radix tree in miniature: the same walks, splits, locks and access counter, over prefix hashes.

What it evicts is chosen by whoever watches it, from the same calls that SGLang's own tree makes in the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from radixdeck.policies.tree.victims import Choice

from .trie import Hashes, parting

NOTHING = np.empty(0, np.uint32)
BESIDE = 1e-5
"""By how much the counter of a parent lags behind that of its child when a path is used."""


class Watcher(Protocol):
    """Hears of every change, in SGLang's order, and chooses victims; policies.observer.Observer is one."""

    def added(self, node: Any) -> object: ...
    def split(self, child: Any, upper: Any) -> object: ...
    def left(self, node: Any, *, to_host: bool) -> object: ...
    def evictable(self, node: Any) -> object: ...
    def not_evictable(self, node_id: int) -> object: ...
    def expect(self, shortfall_tokens: int) -> object: ...
    def begin_eviction(self) -> object: ...
    def choose(self) -> Choice | None: ...
    def kept(self, tokens: int, needed_tokens: int, page_size: int) -> int | None: ...


class Node:
    """Pages `begin` to `end` (exclusive, depths from the root) of `source`. `last_access_time` counts accesses."""

    __slots__ = ("begin", "children", "end", "id", "last_access_time", "locks", "page_size", "parent", "source")

    def __init__(self, number: int, parent: Node | None, source: Hashes, begin: int, end: int, page_size: int) -> None:
        self.id = number
        self.parent = parent
        self.source = source
        self.begin = begin
        self.end = end
        self.page_size = page_size
        self.children: dict[int, Node] = {}
        self.last_access_time = 0.0
        self.locks = 0

    @property
    def pages(self) -> int:
        return self.end - self.begin

    @property
    def key(self) -> range:
        """Its tokens, known only by their depths."""
        return range(self.begin * self.page_size, self.end * self.page_size)


class ModelTree:
    """All lengths in pages; a page is known by the hash of the prefix that ends with it.

    `idle_pages`: in the tree and not locked. `next_id`: nodes are numbered from there.
    """

    def __init__(self, watcher: Watcher, page_size: int = 1, next_id: int = 0) -> None:
        self._watcher = watcher
        self._page_size = page_size
        self.next_id = next_id
        self._accesses = 0
        self._leaves: dict[int, Node] = {}
        self.idle_pages = 0
        self.root = self._new(None, NOTHING, 0, 0)

    def match(self, hashes: Hashes) -> tuple[Node, int]:
        """The deepest node of the longest cached prefix, split where `hashes` leaves it, and the prefix's length."""
        node = self.root
        while node.end < len(hashes) and (child := node.children.get(int(hashes[node.end]))) is not None:
            depth = parting(child.source, hashes, child.begin + 1, min(child.end, len(hashes)))
            if depth < child.end:
                node = self._split(child, depth)
                break
            node = child
        now = float(self._access())
        for place, step in enumerate(upwards(node)):
            step.last_access_time = now - place * BESIDE
        return node, node.end

    def insert(self, hashes: Hashes) -> tuple[Node, int]:
        """Add a sequence: the node it ends in, and how much of it was there already."""
        node = self.root
        while node.end < len(hashes) and (child := node.children.get(int(hashes[node.end]))) is not None:
            child.last_access_time = self._access()
            depth = parting(child.source, hashes, child.begin + 1, min(child.end, len(hashes)))
            node = child if depth == child.end else self._split(child, depth)
        present = node.end
        return (self._add(node, hashes) if present < len(hashes) else node), present

    def split_at(self, node: Node, tokens: int) -> Node:
        """Split a node after its first `tokens` tokens, a whole number of pages. Returns the new node above it."""
        return self._split(node, node.begin + tokens // self._page_size)

    def lock(self, node: Node) -> None:
        """Keep the path to `node` from being evicted."""
        for step in upwards(node):
            if step is not self.root and not step.locks:
                self.idle_pages -= step.pages
            step.locks += 1
            self._settle(step)

    def unlock(self, node: Node) -> None:
        for step in upwards(node):
            step.locks -= 1
            if step is not self.root and not step.locks:
                self.idle_pages += step.pages
            self._settle(step)

    def evict(self, pages: int) -> int:
        """Evict leaves, or their ends, until so many pages are free or nothing can go. Returns how many were freed."""
        self._watcher.begin_eviction()
        freed = 0
        while freed < pages and (choice := self._watcher.choose()) is not None:
            self._trim(choice.node, pages - freed)
            freed += self.remove(choice.node)
        return freed

    def _trim(self, number: int, needed_pages: int) -> None:
        """Cut a victim where what may stay of it ends. Both parts were used when all of it was."""
        node, size = self._leaves[number], self._page_size
        used = node.last_access_time
        if kept := self._watcher.kept(node.pages * size, needed_pages * size, size):
            upper = self.split_at(node, kept)
            upper.last_access_time = node.last_access_time = used

    def remove(self, number: int) -> int:
        """Evict one node if it is an idle leaf. Returns the pages freed."""
        node = self._leaves.pop(number, None)
        if node is None or node.parent is None:
            return 0
        del node.parent.children[int(node.source[node.begin])]
        self.idle_pages -= node.pages
        self._watcher.not_evictable(number)
        self._watcher.left(node, to_host=False)
        self._settle(node.parent)
        return node.pages

    def _new(self, parent: Node | None, source: Hashes, begin: int, end: int) -> Node:
        node = Node(self.next_id, parent, source, begin, end, self._page_size)
        self.next_id += 1
        node.last_access_time = self._access()
        return node

    def _add(self, parent: Node, hashes: Hashes) -> Node:
        node = self._new(parent, hashes, parent.end, len(hashes))
        parent.children[int(hashes[parent.end])] = node
        self.idle_pages += node.pages
        self._watcher.added(node)
        self._settle(parent)
        self._settle(node)
        return node

    def _split(self, child: Node, depth: int) -> Node:
        """`child` keeps its id and what lies below `depth`; a new node above takes the rest, under the same locks."""
        upper = self._new(child.parent, child.source, child.begin, depth)
        assert child.parent is not None
        child.parent.children[int(child.source[child.begin])] = upper
        upper.children[int(child.source[depth])] = child
        upper.locks = child.locks
        child.parent, child.begin = upper, depth
        child.last_access_time = self._access()
        self._watcher.split(child, upper)
        return upper

    def _settle(self, node: Node) -> None:
        """Tell the watcher if a node became evictable or no longer is."""
        idle = not node.locks and not node.children and node is not self.root
        if idle == (node.id in self._leaves):
            return
        if idle:
            self._leaves[node.id] = node
            self._watcher.evictable(node)
        else:
            del self._leaves[node.id]
            self._watcher.not_evictable(node.id)

    def _access(self) -> int:
        self._accesses += 1
        return self._accesses


def upwards(node: Node | None) -> Iterator[Node]:
    """A node and its ancestors, the root included."""
    while node is not None:
        yield node
        node = node.parent
