"""What SGLang's scheduler does with its radix cache for one request after another, without a model or a GPU.

A request's prefix is matched and locked, its prompt takes room in chunks, each chunk goes into the tree once computed,
the output takes room page by page while decoding, and goes in at the finish, as a node of its own below the prompt.
Room is made for a batch at once: a prefill batch, or one that decodes a token of each request.
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
    for `taken` pages of its sequence, `decoded` tokens of its output among them."""

    number: int
    pages: Pages
    node: Node
    inserted: int
    taken: int
    decoded: int = 0

    @property
    def is_prefilled(self) -> bool:
        return self.taken >= self.pages.prompt


class ModelCache:
    """Requests are told apart by numbers. `taken_pages`: what the tree and running requests take of the capacity; more
    than that if all that is left is locked: it is a model, not a pool. `over_pages`: the most of that there was."""

    def __init__(
        self, watcher: Watcher, capacity_tokens: int, page_size: int = 1, chunk_tokens: int = CHUNK_TOKENS
    ) -> None:
        self.tree = ModelTree(watcher, page_size)
        self.page_size = page_size
        self.capacity_pages = capacity_tokens // page_size
        self.taken_pages: int = 0
        self.over_pages = 0
        self.running: dict[int, Running] = {}
        self._watcher = watcher
        self._joining: dict[int, Running] = {}
        self._chunk_pages = max(1, chunk_tokens // page_size)

    # ---- the steps of a request --------------------------------------------------------------------------------------

    def start(self, number: int, request: Request) -> int:
        """Match, and make room for a prefill batch. Returns the tokens served from the cache."""
        found = self.match(number, request)
        self.extend()
        return found

    def match(self, number: int, request: Request) -> int:
        """Match, and lock what was found: the request joins the next prefill batch. Returns the tokens served from the
        cache."""
        pages = in_pages(request, self.page_size)
        node, found = self.tree.match(pages.hashes[: pages.matchable])
        self.tree.lock(node)
        running = self.running[number] = Running(number, pages, node, found, found)
        self._joining[number] = running
        self.on_matched(running)
        return found * self.page_size

    def look_up(self, request: Request) -> None:
        """A request is looked up and finds no room: its prefix is used all the same."""
        pages = in_pages(request, self.page_size)
        self.tree.match(pages.hashes[: pages.matchable])

    @property
    def is_extending(self) -> bool:
        """Whether the next batch is a prefill batch."""
        return bool(self._joining)

    def extend(self) -> None:
        """Make room for a prefill batch of all that joined it, as far as a batch goes. It goes further if hits are
        fewer than they were when the scheduler put it together."""
        left = self._chunk_pages
        needs: list[tuple[Running, int]] = []
        for running in self._joining.values():
            needs.append((running, min(running.pages.prompt - running.taken, left if left > 0 else self._chunk_pages)))
            left -= needs[-1][1]
        self._joining.clear()
        self.take(needs)

    def decode(self) -> None:
        """Make room for one more token of every request whose prompt is computed."""
        needs: list[tuple[Running, int]] = []
        for running in self.running.values():
            if running.is_prefilled and running.taken < len(running.pages.hashes):
                running.decoded += 1
                upto = running.pages.prompt + (running.pages.over + running.decoded) // self.page_size
                needs.append((running, upto - running.taken))
        self.take(needs)

    def chunk(self, number: int) -> None:
        """A chunk of the prompt is computed: the rest joins the next prefill batch. The last one is left to
        `prefilled`, or to `finish` if it comes first."""
        running = self.running[number]
        if not running.is_prefilled:
            self._insert(running, "prompt", running.taken)
            self._joining[number] = running

    def prefilled(self, number: int) -> None:
        """The whole prompt is computed and in the tree; what another request put there meanwhile is freed."""
        running = self.running[number]
        self._extend_to_end(running)
        self._insert(running, "prompt", running.pages.prompt)

    def finish(self, number: int) -> None:
        """The output goes into the tree, and the request lets go of its path."""
        running = self.running[number]
        self._extend_to_end(running)
        self._decode_to_end(running)
        self._insert(running, "finish", len(running.pages.hashes))
        self.release(number)

    def release(self, number: int) -> None:
        """The request lets go; what it computed and did not insert is freed, and so is what was taken too much."""
        running = self.running.pop(number)
        self._joining.pop(number, None)
        self.taken_pages -= running.taken - running.inserted
        self.tree.unlock(running.node)
        self._make_room(0)

    def flush(self) -> None:
        """Empty the cache; no request is running."""
        self.tree = ModelTree(self._watcher, self.page_size, self.tree.next_id)
        self.taken_pages = 0
        self.running.clear()
        self._joining.clear()

    # ---- what a subclass may want to know ----------------------------------------------------------------------------

    def on_matched(self, running: Running) -> None:
        """A prefix was found and locked; nothing is evicted for the request yet."""

    def on_inserted(self, running: Running, phase: Phase, new_pages: int, node: Node) -> None:
        """The first `running.inserted` pages of a request are in the tree; they end at `node`."""

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _extend_to_end(self, running: Running) -> None:
        while not running.is_prefilled:
            self.chunk(running.number)
            self.extend()

    def _decode_to_end(self, running: Running) -> None:
        """Room for all of the output that has none yet, which is all of it if nobody told of batches."""
        while (left := len(running.pages.hashes) - running.taken) > 0:
            free = self.capacity_pages - self.taken_pages
            self.take([(running, min(left, max(1, free)))])

    def take(self, needs: list[tuple[Running, int]]) -> None:
        """Room for so many more pages of each sequence in a batch, by eviction if need be."""
        self._make_room(sum(pages for _, pages in needs))
        for running, pages in needs:
            self.taken_pages += pages
            running.taken += pages
        self.over_pages = max(self.over_pages, self.taken_pages - self.capacity_pages)

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
