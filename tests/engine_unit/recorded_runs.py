"""Runs of a real cache on a made-up clock, with late callers and hints, recorded and run again through the model."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
from agent_traffic import Workload
from scheduling import Loop

from radixdeck.daemon.engine.control import Control
from radixdeck.daemon.engine.protocol import Observe
from radixdeck.daemon.engine.requests import track_of
from radixdeck.policies.events import (
    AnchorMeasured,
    AnswerGiven,
    EngineEvent,
    EngineLoadSampled,
    EngineStarted,
    SessionEnded,
    ToolCalled,
)
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Outcome, Recorded, what_if

START_NS = 1_700_000_000_000_000_000
NUMBERS_AND_CLOCKS = ("t_ns", "idle_s", "node", "parent", "upper", "instead")


class Clock:
    """Time for the cache under test: it goes on with every look, by as much as a busy machine lets it, and further
    between requests."""

    def __init__(self, seed: int) -> None:
        self.ns = START_NS
        self._random = random.Random(seed)

    def now_ns(self) -> int:
        self.ns += self._random.randrange(1_000, 2_000_000)
        return self.ns


def start(bench: Any, clock: Clock, policy: str, capacity: int, page_size: int) -> None:
    bench.observer.stream.emit(
        EngineStarted(
            t_ns=clock.now_ns(), pid=1, model="none", capacity_tokens=capacity, page_size=page_size, policy=policy
        )
    )


def record(path: Path, events: list[EngineEvent], **policy: Any) -> Path:
    async def write() -> None:
        recorder = Recorder(path, RunInfo("run", "box", START_NS, "0", "none", {"policy": policy}))
        for seq, event in enumerate(events, 1):
            recorder.record(seq, event)
        await recorder.close()

    asyncio.run(write())
    return path


def modelled(path: Path, policy: str) -> tuple[Outcome, list[EngineEvent]]:
    events: list[EngineEvent] = []
    with open_session(path) as session:
        return what_if(Recorded(session), policy, take=events.append), events


def facts(events: list[EngineEvent], but: tuple[str, ...] = ()) -> list[Any]:
    kept = [msgspec.to_builtins(event) for event in events]
    return [{name: fact[name] for name in fact if name not in (*NUMBERS_AND_CLOCKS, *but)} for fact in kept]


class Callers:
    """Callers of a Loop, and what the daemon tells the engine of them: always late, in the midst of other things."""

    def __init__(self, bench: Any, clock: Clock, seed: int, chunk_tokens: int, overlap: bool) -> None:
        self.loop = Loop(bench, chunk_tokens, overlap, self._finished, lambda: self._random.random() < 0.3)
        self._bench, self._clock = bench, clock
        self._workload = Workload(seed)
        self._random = self._workload.random
        self._control = Control(bench.cache, bench.observer)
        self._untold: list[EngineEvent] = []
        self._measures = random.Random(f"measures {seed}")

    def run(self, requests: int, at_once: int) -> None:
        asked = 0
        while asked < requests or self.loop.is_busy:
            self._clock.ns += self._random.randrange(0, 5_000_000)
            while asked < requests and len(self.loop.waiting) < at_once and self._random.random() < 0.15:
                tokens, identity, output = self._workload.next()
                self.loop.ask(tokens, output * self._random.randrange(1, 4), **identity)
                asked += 1
            self._tell()
            self.loop.turn(at_once)

    def _finished(self, req: Any) -> None:
        who = track_of(req).who
        kind = ToolCalled if self._random.random() < 0.4 else AnswerGiven
        self._untold.append(kind(t_ns=0, rid=who.rid, agent=who.agent, session=who.session))

    def _tell(self) -> None:
        if self._untold and self._random.random() < 0.3:
            assert self._control.obey(Observe("told", self._untold)).ok
            self._untold = []
        if self._random.random() < 0.01:
            ended = SessionEnded(t_ns=0, session=f"s{self._random.randrange(4)}")
            assert self._control.obey(Observe("ended", [ended])).ok
        if self._random.random() < 0.05:
            self._sample()
        if not self.loop.waiting and self._measures.random() < 0.05:
            self._measure()

    def _measure(self) -> None:
        """The daemon has measured an anchor, of a version that is a little shorter than what requests tell. Not while
        anybody waits: of a look-up that found no room a recording tells the step, not whether this came before it."""
        agent = self._measures.randrange(len(self._workload.anchors))
        tokens = len(self._workload.anchors[agent]) - self._measures.randrange(3)
        measured = AnchorMeasured(t_ns=0, agent=f"agent{agent}", tokens=tokens, rid="")
        assert self._control.obey(Observe("measured", [measured])).ok

    def _sample(self) -> None:
        allocator, cache = self._bench.allocator, self._bench.cache
        self._bench.observer.stream.emit(
            EngineLoadSampled(
                t_ns=self._clock.now_ns(), running=0, waiting=0, capacity_tokens=allocator.size,
                used_tokens=allocator.size - allocator.available_size(), evictable_tokens=cache.evictable_size(),
                step=self._bench.observer.step,
            )
        )  # fmt: skip
