"""SGLang's own eviction order in miniature: a radix tree whose least recently used unlocked leaf goes first, whole."""

from __future__ import annotations

import heapq

from .demand import Pages
from .trie import ROOT, Hashes, Trie

GONE = -1


class LruTree(Trie):
    """Sizes in pages. A request's steps are `start`, `prefilled`, `finish`; `hits` is what each one was served."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.hits: dict[int, int] = {}
        self._capacity = capacity
        self._taken = 0
        self._now = 0
        self._used = [0]
        self._locks = [1]
        self._leaf_of: dict[int, int] = {}
        self._own: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []

    def start(self, request: int, pages: Pages) -> None:
        """Match, lock what was found, and make room for the rest of the prompt."""
        node, depth = self.descend(pages.hashes[: pages.matchable])
        self._touch(node)
        self._lock(node, 1)
        self._leaf_of[request] = node
        self.hits[request] = depth
        self._own[request] = pages.prompt - depth
        self._take(pages.prompt - depth)

    def prefilled(self, request: int, pages: Pages) -> None:
        """The prompt goes into the tree; what another request put there meanwhile is freed."""
        self._settle(request, pages, pages.prompt)

    def finish(self, request: int, pages: Pages) -> None:
        """The output goes into the tree, and the request lets go of its path."""
        output = len(pages.hashes) - pages.prompt
        self._own[request] += output
        self._take(output)
        self._settle(request, pages, len(pages.hashes))
        self._lock(self._leaf_of.pop(request), -1)

    def split(self, node: int, depth: int) -> int:
        """See Trie.split. Both halves keep the locks; the lower one counts as used, as it does in SGLang."""
        upper = super().split(node, depth)
        self._locks[upper] = self._locks[node]
        self._used[node] = self._now + 1
        return upper

    def _add(self, parent: int, begin: int, end: int, source: Hashes) -> int:
        self._used.append(self._now)
        self._locks.append(0)
        return super()._add(parent, begin, end, source)

    def _settle(self, request: int, pages: Pages, length: int) -> None:
        """Put the first `length` pages into the tree and hold on to them there; pages it already had are freed."""
        hashes = pages.hashes[:length]
        _, present = self.descend(hashes)
        self._taken -= self._own[request] - (length - present)
        self._own[request] = 0
        before, self._leaf_of[request] = self._leaf_of[request], self.insert(hashes)
        self._touch(self._leaf_of[request])
        self._lock(self._leaf_of[request], 1)
        self._lock(before, -1)

    def _touch(self, node: int) -> None:
        self._now += 1
        while node != ROOT:
            self._used[node] = self._now
            node = self.parent[node]

    def _lock(self, node: int, change: int) -> None:
        while node != ROOT:
            self._locks[node] += change
            self._offer(node)
            node = self.parent[node]

    def _offer(self, node: int) -> None:
        """Queue a node if it may be evicted now; entries that have become untrue are sorted out when they come up."""
        if node != ROOT and not self._locks[node] and not self.children[node]:
            heapq.heappush(self._queue, (self._used[node], node))

    def _take(self, pages: int) -> None:
        """Room for `pages` more. If all that is left is locked they are taken regardless: it is a model, not a pool."""
        while self._taken + pages > self._capacity and self._queue:
            used, node = heapq.heappop(self._queue)
            if self.parent[node] == GONE or self._locks[node] or self.children[node]:
                continue
            if used != self._used[node]:
                self._offer(node)
                continue
            self._evict(node)
        self._taken += pages

    def _evict(self, node: int) -> None:
        above = self.parent[node]
        del self.children[above][int(self.source[node][self.begin[node]])]
        self.parent[node] = GONE
        self._taken -= self.size(node)
        self._offer(above)
