"""The modelled cache with the observer that the engine's own has: policies, owners and victims are the code that runs
inside SGLang, and every change is told in the same order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from radixdeck.policies.events import AnchorMeasured, PrefixInserted, PrefixMatched
from radixdeck.policies.registry import cause_of_order
from radixdeck.policies.tree.observer import Need, Observer
from radixdeck.policies.tree.ownership import NOBODY, Who

from .demand import Request
from .model_cache import ModelCache, Phase, Running
from .model_stream import ModelStream
from .model_tree import Node


class Asked(msgspec.Struct):
    """A request under way: how it came, who it is, what its coming told of its agent's anchor, and how it finished."""

    event: PrefixMatched
    who: Who
    anchor: AnchorMeasured | None
    finish: PrefixInserted | None = None


class ObservedCache(ModelCache):
    """A modelled cache that reports what the engine's own reports, in the same order."""

    def __init__(self, stream: ModelStream, capacity_tokens: int, page_size: int, chunk_tokens: int) -> None:
        self.observer = Observer(stream)
        self.observer.started = True
        super().__init__(self.observer, capacity_tokens, page_size, chunk_tokens)
        self.asked: dict[int, Asked] = {}
        self.others_extend = False
        self.refused_at: Callable[[int], list[Request]] = lambda _step: []
        self._stream = stream

    def reach(self, step: int) -> None:
        """Make room for the batches that the scheduler had made room for by then; 0 tells of none.

        `others_extend`: the next one is a prefill batch because of a request that is not modelled. `refused_at`: who
        was looked up before the batch after that step, and found no room.
        """
        while self.observer.step < step:
            for request in self.refused_at(self.observer.step):
                self.look_up(request)
            self.observer.step += 1
            if self.is_extending or self.others_extend:
                self.others_extend = False
                self.extend()
            elif self.running:
                self.decode()
            else:
                self.observer.step = step

    def on_matched(self, running: Running) -> None:
        asked = self.asked[running.number]
        displaced = self.observer.ownership.meet(asked.who, running.pages.prompt * self.page_size)
        if displaced is not None:
            self.observer.close_session(displaced)
        if asked.anchor is not None:
            self.measured(asked.anchor)
        self._stream.emit(
            msgspec.structs.replace(
                asked.event,
                t_ns=self._stream.now_ns(),
                cached_tokens=running.inserted * self.page_size,
                host_tokens=0,
                node=running.node.id,
            )
        )
        self.observer.used(running.node, asked.who)

    def measured(self, event: AnchorMeasured) -> None:
        """The length of an agent's anchor is known."""
        self.observer.ownership.set_anchor(event.agent, event.tokens)
        self._stream.emit(event)

    def on_inserted(self, running: Running, phase: Phase, new_pages: int, node: Node) -> None:
        asked = self.asked[running.number]
        self._stream.emit(
            PrefixInserted(
                t_ns=self._stream.now_ns(), rid=asked.who.rid, phase=phase, node=node.id,
                total_tokens=running.inserted * self.page_size, new_tokens=new_pages * self.page_size,
                output=asked.finish.output if phase == "finish" and asked.finish is not None else b"",
                step=self.observer.step,
            )
        )  # fmt: skip
        self.observer.used(node, asked.who)
        if self._stream.host.splits_anchors:
            place = self.observer.straddling(node, asked.who.agent, self.page_size)
            if place is not None:
                self.tree.split_at(*place)

    def take(self, needs: list[tuple[Running, int]]) -> None:
        self.observer.ask_needs = lambda: [
            Need(self.asked[running.number].who, pages * self.page_size) for running, pages in needs
        ]
        super().take(needs)

    def release(self, number: int) -> None:
        """What goes then goes because too much was taken, and for nobody."""
        self.observer.ask_needs = list
        super().release(number)

    def _insert(self, running: Running, phase: Phase, length: int) -> None:
        self.observer.inserting = self.asked[running.number].who
        super()._insert(running, phase, length)
        self.observer.inserting = NOBODY

    def flush(self) -> None:
        super().flush()
        self.asked.clear()
        self.observer.flushed()

    def evict_agent(self, agent: str, by: str) -> None:
        """What an operator's order to evict an agent does: all that is its alone and not in use, leaves first."""
        self.observer.cause = cause_of_order(by)
        mine = [owned for owned in self.observer.ownership.nodes.values() if owned.agents == (agent,)]
        for owned in sorted(mine, key=lambda owned: -owned.start):
            self.taken_pages -= self.tree.remove(owned.node)
        self.observer.cause = "allocation"
