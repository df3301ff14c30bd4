"""What SGLang's scheduler does with its radix cache for one request after another, without a model or a GPU.

A request's prefix is matched and locked, its prompt takes room in chunks, each chunk goes into the tree once computed,
the output takes room page by page while decoding, and goes in at the finish, as a node of its own below the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .demand import Pages, Request, in_pages
from .model_tree import ModelTree, Node, Watcher

CHUNK_TOKENS = 2048
"""Prompt tokens that SGLang computes at once unless told otherwise (chunked_prefill_size)."""

Phase = Literal["prompt", "finish"]


@dataclass
class Running:
    """A request between its match and its finish. `node`: end of the path it holds, `inserted` pages deep; it has room
    for `taken` pages of its sequence."""

    number: int
    pages: Pages
    node: Node
    inserted: int
    taken: int

    @property
    def is_prefilled(self) -> bool:
        return self.taken >= self.pages.prompt


class ModelCache:
    """Requests are told apart by numbers. `taken_pages`: what the tree and running requests take of the capacity; more
    than that if all that is left is locked: it is a model, not a pool."""

    def __init__(
        self, watcher: Watcher, capacity_tokens: int, page_size: int = 1, chunk_tokens: int = CHUNK_TOKENS
    ) -> None:
        self.tree = ModelTree(watcher, page_size)
        self.page_size = page_size
        self.capacity_pages = capacity_tokens // page_size
        self.taken_pages: int = 0
        self.running: dict[int, Running] = {}
        self._watcher = watcher
        self._chunk_pages = max(1, chunk_tokens // page_size)

    # ---- the steps of a request --------------------------------------------------------------------------------------

    def start(self, number: int, request: Request) -> int:
        """Match, lock what was found, and make room for the first chunk. Returns the tokens served from the cache."""
        pages = in_pages(request, self.page_size)
        node, found = self.tree.match(pages.hashes[: pages.matchable])
        self.tree.lock(node)
        running = self.running[number] = Running(number, pages, node, found, found)
        self.on_matched(running)
        self._take_chunk(running)
        return found * self.page_size

    def chunk(self, number: int) -> None:
        """A chunk of the prompt is computed. The last one is left to `prefilled`, or to `finish` if it comes first."""
        running = self.running[number]
        if not running.is_prefilled:
            self._insert(running, "prompt", running.taken)
            self._take_chunk(running)

    def prefilled(self, number: int) -> None:
        """The whole prompt is computed and in the tree; what another request put there meanwhile is freed."""
        running = self.running[number]
        while not running.is_prefilled:
            self.chunk(number)
        self._insert(running, "prompt", running.taken)

    def finish(self, number: int) -> None:
        """The output goes into the tree, and the request lets go of its path."""
        running = self.running[number]
        while not running.is_prefilled:
            self.chunk(number)
        self._decode(running)
        self._insert(running, "finish", len(running.pages.hashes))
        self.release(number)

    def release(self, number: int) -> None:
        """The request lets go; what it computed and did not insert is freed, and so is what was taken too much."""
        running = self.running.pop(number)
        self.taken_pages -= running.taken - running.inserted
        self.tree.unlock(running.node)
        self._make_room(0)

    def flush(self) -> None:
        """Empty the cache; no request is running."""
        self.tree = ModelTree(self._watcher, self.page_size, self.tree.next_id)
        self.taken_pages = 0
        self.running.clear()

    # ---- what a subclass may want to know ----------------------------------------------------------------------------

    def on_matched(self, running: Running) -> None:
        """A prefix was found and locked; nothing is evicted for the request yet."""

    def on_decoding(self, running: Running, share: float) -> None:
        """`share` (0 to 1) of the output is there, and the next page needs room."""

    def on_inserted(self, running: Running, phase: Phase, new_pages: int, node: Node) -> None:
        """The first `running.inserted` pages of a request are in the tree; they end at `node`."""

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _take_chunk(self, running: Running) -> None:
        self.take(running, min(running.pages.prompt - running.taken, self._chunk_pages))

    def _decode(self, running: Running) -> None:
        output = len(running.pages.hashes) - running.taken
        left = output
        while left > 0:
            free = self.capacity_pages - self.taken_pages
            if free < 1:
                self.on_decoding(running, 1 - left / output)
            step = min(left, max(1, free))
            self.take(running, step)
            left -= step

    def take(self, running: Running, pages: int) -> None:
        """Room for `pages` more of the request's sequence, by eviction if need be."""
        self._make_room(pages)
        self.taken_pages += pages
        running.taken += pages

    def _make_room(self, pages: int) -> None:
        shortfall = self.taken_pages + pages - self.capacity_pages
        if shortfall > 0:
            self._watcher.expect(shortfall * self.page_size)
            self.taken_pages -= self.tree.evict(shortfall)

    def _insert(self, running: Running, phase: Phase, length: int) -> None:
        hashes = running.pages.hashes
        node, present = self.tree.insert(hashes[:length])
        self.taken_pages -= max(0, present - running.inserted)
        if phase == "prompt":
            self._hold(running, length)
        elif 0 < running.pages.prompt < length:
            self.tree.insert(hashes[: running.pages.prompt])
        running.inserted = length
        self.on_inserted(running, phase, length - present, node)

    def _hold(self, running: Running, length: int) -> None:
        before = running.node
        running.node, _ = self.tree.match(running.pages.hashes[:length])
        self.tree.lock(running.node)
        self.tree.unlock(before)
