"""A recording of a million events, made, opened and sought: how long a person waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from radixdeck.console.collector import calm_collector
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.feed_messages import FeedMessage, NodeKeyframe
from radixdeck.console.fleet_state import FleetState
from radixdeck.console.jumps import next_of
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import MAX_BACKLOG, Recorder
from radixdeck.storage.session import Session, open_session

from .bench_console_child import NODE, RUN
from .measure import percentile
from .synthetic import PER_REQUEST, SyntheticRun

SEEKS = 200
JUMPS = 30
STEPS = 10


def ms(values_s: list[float], percent: float) -> float:
    """A percentile in milliseconds."""
    return round(1000 * percentile(values_s, percent), 1)


async def write_recording(path: Path, events: int, nodes: int, said: Callable[[int], None] | None = None) -> None:
    """A recording of `events` events, 500 a second by their own clock, as a daemon writes it. `said`: is told ten times
    how many there are."""
    run, state, t_ns = SyntheticRun(nodes), RunState(), 1_700_000_000_000_000_000
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=t_ns, version="bench", model="m", config={}))
    seq, step_ns = 0, PER_REQUEST * 1_000_000_000 // 500
    batches = run.requests(t_ns, step_ns)
    batch = run.begin(t_ns)
    told = 0
    while seq < events:
        for event in batch:
            seq += 1
            fold(state, event)
            recorder.record(seq, event)
            if recorder.wants_keyframe:
                recorder.keyframe(seq, state)
        if recorder.backlog > MAX_BACKLOG // 4:
            await recorder.flush()
        if said is not None and seq * STEPS // events > told:
            told = seq * STEPS // events
            said(seq)
        batch = next(batches)
    await recorder.close()


def read_recording(path: Path) -> dict[str, Any]:
    """`open_and_seek` in a process as the console is when it opens one: everything imported, its garbage collector set
    as there, and nothing left of whoever wrote the recording."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as reader:
        return reader.submit(_read, path).result()


def _read(path: Path) -> dict[str, Any]:
    calm_collector()
    return asyncio.run(open_and_seek(path))


async def open_and_seek(path: Path) -> dict[str, Any]:
    """How long it takes from nothing to the first state, from a seek to its state and its log, and to find the next
    eviction that hurt. Of a seek also what it took of the processor, which does not depend on who else runs."""
    begun_s = time.perf_counter()
    session = open_session(path)
    feed = ReplayFeed(session, playing=False)
    messages, fleet = aiter(feed), FleetState()
    await _state(messages, fleet)
    opened_s = time.perf_counter() - begun_s
    rng, took_s, cpu_s = Random(3), list[float](), list[float]()
    for _ in range(SEEKS):
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        feed.seek(rng.randrange(session.first_ns, session.last_ns))
        await _state(messages, fleet)
        took_s.append(time.perf_counter() - begun_s)
        cpu_s.append(time.process_time() - begun_cpu_s)
    jumps_s = _jumps(session, rng)
    events, keyframes = session.last_seq - session.first_seq + 1, len(session.keyframes(0, session.last_seq))
    session.close()
    return {
        "events": events,
        "keyframes": keyframes,
        "open_s": round(opened_s, 3),
        "seek_p50_ms": ms(took_s, 50),
        "seek_p95_ms": ms(took_s, 95),
        "seek_max_ms": ms(took_s, 100),
        "seek_cpu_p95_ms": ms(cpu_s, 95),
        "seek_cpu_max_ms": ms(cpu_s, 100),
        "jump_p50_ms": ms(jumps_s, 50),
        "jump_p95_ms": ms(jumps_s, 95),
    }


async def _state(messages: AsyncIterator[FeedMessage], fleet: FleetState) -> None:
    """Take messages up to a whole state and the log before it."""
    while True:
        message = await anext(messages)
        fleet.apply(message)
        if isinstance(message, NodeKeyframe):
            fleet.apply(await anext(messages))
            return


def _jumps(session: Session, rng: Random) -> list[float]:
    took_s: list[float] = []
    for number in range(JUMPS):
        seq = rng.randrange(session.first_seq, session.last_seq)
        begun_s = time.perf_counter()
        next_of(session, "eviction that hurt", seq, backwards=bool(number % 2))
        took_s.append(time.perf_counter() - begun_s)
    return took_s
