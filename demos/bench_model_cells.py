"""Cells of the modelled bench: one policy, run in one way, on one stream in one size of cache."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Protocol

import msgspec

from radixdeck.storage.evaluate import Evaluation, Prefetch, evaluate
from radixdeck.storage.streams import Stream

from .families import variants
from .workloads import WorkloadError

BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Sizes of the cache, as shares of a stream's working set: the least in which the best evictions lose nothing."""
MOST_JOBS = 2


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and how it is run. `beside`: other policies that are on, with their tunables. `prefetch`: None if
    nobody is asked for warm-ups; `tells_ends`, `tells_next`: callers say when a session is over, and which agent comes
    next."""

    label: str
    policy: str
    tunables: dict[str, float] = {}
    beside: dict[str, dict[str, float]] = {}
    prefetch: Prefetch | None = None
    splits_anchors: bool = True
    tells_ends: bool = False
    tells_next: bool = False

    @property
    def hints(self) -> tuple[bool, bool]:
        return self.tells_ends, self.tells_next


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, in tokens; see Evaluation. `way`: the label of it; `seeded`: whether the seed makes a
    difference to the stream."""

    family: str
    variant: str
    seed: int
    budget: float
    way: str
    kv_tokens: int
    requests: int
    prompt_tokens: int
    cached_tokens: int
    lru_tokens: int
    best_tokens: int
    warmed_tokens: int = 0
    used_tokens: int = 0
    lost_tokens: int = 0
    delay_s: float = 0.0
    failures: tuple[str, ...] = ()
    took_s: float = 0.0
    seeded: bool = True

    @property
    def hit(self) -> float:
        """Hit rates are 0 to 1."""
        return self.cached_tokens / self.prompt_tokens

    @property
    def lru(self) -> float:
        return self.lru_tokens / self.prompt_tokens

    @property
    def best(self) -> float:
        return self.best_tokens / self.prompt_tokens

    @property
    def points(self) -> float:
        """Percentage points of hit rate above LRU."""
        return 100 * (self.cached_tokens - self.lru_tokens) / self.prompt_tokens

    @property
    def above_best(self) -> float:
        """Percentage points of hit rate above the best evictions without prefetch."""
        return 100 * (self.cached_tokens - self.best_tokens) / self.prompt_tokens

    @property
    def gap(self) -> float | None:
        """Share of the way from LRU to the best evictions, percent; None where LRU leaves less than MIN_ROOM."""
        room_tokens = self.best_tokens - self.lru_tokens
        enough = room_tokens >= MIN_ROOM * self.prompt_tokens
        return 100 * (self.cached_tokens - self.lru_tokens) / room_tokens if enough and room_tokens > 0 else None

    @property
    def trace(self) -> str:
        return f"{self.variant}, seed {self.seed}, {self.budget:g} of the working set"


MIN_ROOM = 0.01
"""Where the best is not even a point of hit rate above LRU, a share of that is noise and not counted."""


@dataclass(frozen=True)
class Task:
    """All ways and budgets on one stream, which is generated once per set of hints."""

    family: str
    variant: str
    seed: int
    requests: int
    ways: tuple[Way, ...]
    traces: Path | None
    budgets: tuple[float, ...] = BUDGETS

    def cells(self) -> list[Cell]:
        """Raises WorkloadError, PolicyError or TunableError."""
        found = [variant for variant in variants(self.family, self.traces) if variant.name == self.variant]
        if not found:
            raise WorkloadError(f"family {self.family!r} has no {self.variant!r}")
        cells: list[Cell] = []
        before: Stream | None = None
        for hints in sorted({way.hints for way in self.ways}):
            ends, following = hints
            stream = found[0].stream(self.seed, requests=self.requests, tells_ends=ends, tells_next=following)
            stream = before = stream if before is None else stream.beside(before)
            for budget in self.budgets:
                kv_tokens = max(1, round(budget * stream.working_set_tokens))
                for way in self.ways:
                    if way.hints == hints:
                        seen = evaluate(
                            stream, way.policy, kv_tokens, tunables=way.tunables, prefetch=way.prefetch,
                            beside=way.beside, splits_anchors=way.splits_anchors,
                        )  # fmt: skip
                        cells.append(self._cell(budget, way, seen, seeded=found[0].seeded))
        return cells

    def _cell(self, budget: float, way: Way, seen: Evaluation, *, seeded: bool) -> Cell:
        return Cell(
            family=self.family, variant=self.variant, seed=self.seed, budget=budget, way=way.label,
            kv_tokens=seen.kv_tokens, requests=seen.requests, prompt_tokens=seen.prompt_tokens,
            cached_tokens=seen.cached_tokens, lru_tokens=seen.lru_tokens, best_tokens=seen.best_tokens,
            warmed_tokens=seen.warmed.tokens, used_tokens=seen.warmed.used_tokens, lost_tokens=seen.warmed.lost_tokens,
            delay_s=seen.warmed.delay_s,
            failures=seen.failures[:1], took_s=seen.took_s, seeded=seeded,
        )  # fmt: skip


class Keeps(Protocol):
    """Remembers what came of tasks, from one run to the next."""

    def cells(self, task: Task) -> list[Cell] | None: ...

    def keep(self, task: Task, cells: list[Cell]) -> None: ...


def run_tasks(tasks: Sequence[Task], jobs: int, say: Callable[[str], None], kept: Keeps | None = None) -> list[Cell]:
    """Cells of all tasks, in the tasks' order, by at most two processes; says now and then how far it is. Those that
    `kept` remembers are not run."""
    known = ((number, kept.cells(task)) for number, task in enumerate(tasks)) if kept is not None else ()
    done = {number: cells for number, cells in known if cells is not None}
    before, begun_s = len(done), time.monotonic()
    if before:
        say(f"  {before} of {len(tasks)} streams were run before")
    said_s = begun_s
    for number, cells in _each({n: task for n, task in enumerate(tasks) if n not in done}, min(jobs, MOST_JOBS)):
        done[number] = cells
        if kept is not None:
            kept.keep(tasks[number], cells)
        now_s = time.monotonic()
        if now_s - said_s > 10 or len(done) == len(tasks):
            said_s = now_s
            left_s = (now_s - begun_s) / (len(done) - before) * (len(tasks) - len(done))
            say(f"  {len(done)} of {len(tasks)} streams, about {left_s:.0f} s left ({tasks[number].variant})")
    return [cell for number in range(len(tasks)) for cell in done[number]]


def _each(tasks: Mapping[int, Task], jobs: int) -> Iterator[tuple[int, list[Cell]]]:
    if jobs <= 1:
        yield from ((number, task.cells()) for number, task in tasks.items())
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        waiting = {pool.submit(task.cells): number for number, task in tasks.items()}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """A worker whose parent was killed waits for work for ever: others hold the ends of its pipe."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watches parent", daemon=True).start()
