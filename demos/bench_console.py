"""`python -m radixdeck.demos.bench_console`: what the console costs and how fast it is, in a real terminal of 200x60.

Each screen runs in a pseudo-terminal of its own whose output is read and thrown away; keys are written to it. A
recording of a million events is made in a temporary folder, opened, and sought at random moments.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from radixdeck.console.feed import ReplayFeed
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import MAX_BACKLOG, Recorder
from radixdeck.storage.session import open_session

from .bench_console_child import NODE, RUN, SETTLE_S, Notes, Task
from .measure import percentile
from .progress import Progress
from .report import RESULTS, Record, machine, now_utc, save, table
from .synthetic import PER_REQUEST, SyntheticRun

COLUMNS, ROWS = 200, 60
SCREENS = ("residency", "agents", "events", "requests", "harm")
KEY_EVERY_S = 0.37
KEY = b"j"
FLOORS = {"cpu_percent": 25.0, "frame_p95_ms": 50.0, "key_p95_ms": 100.0, "event_p95_ms": 150.0}
OPEN_FLOOR_S, SEEK_FLOOR_S = 2.0, 0.1
SEEKS = 60


class BenchError(RuntimeError):
    """The console did not come up or left early."""


def run_screen(task: Task) -> tuple[Notes, list[float], int]:
    """The notes of one run, when each key was sent, and how many bytes it wrote to its terminal. Raises BenchError."""
    command = [sys.executable, "-m", "radixdeck.demos.bench_console_child", msgspec.json.encode(task).decode()]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as child:
        os.close(slave)
        try:
            sent_s, written = _drive(child, master, task)
        finally:
            child.terminate()
    os.close(master)
    if not Path(task.notes).exists():
        raise BenchError(f"{task.screen}: the console ended with {child.returncode} and left no notes")
    notes = msgspec.json.decode(Path(task.notes).read_bytes(), type=Notes)
    if not notes.wall_s:
        raise BenchError(f"{task.screen}: the console ended with {child.returncode} before it was through")
    return notes, sent_s, written


def _drive(child: subprocess.Popen[bytes], master: int, task: Task) -> tuple[list[float], int]:
    """Read everything and press a key now and then, until the child is through."""
    sent_s: list[float] = []
    written = 0
    end_s = time.monotonic() + task.seconds + 4 * SETTLE_S + 30
    next_s = time.monotonic() + 2 * SETTLE_S
    while child.poll() is None and time.monotonic() < end_s:
        ready, _, _ = select.select([master], [], [], 0.02)
        if ready:
            try:
                written += len(os.read(master, 1 << 16))
            except OSError:
                break
        if time.monotonic() >= next_s:
            next_s += KEY_EVERY_S
            sent_s.append(time.monotonic())
            os.write(master, KEY)
    return sent_s, written


def measure(screen: str, seconds: float, per_s: int, nodes: int, folder: Path) -> dict[str, Any]:
    """One screen in numbers."""
    notes, sent_s, written = run_screen(Task(screen, seconds, per_s, nodes, str(folder / f"{screen}.json")))
    waited = [shown - sent for sent, shown in zip(sent_s, notes.keys, strict=False) if sent >= notes.began_s]
    half = len(notes.rss_bytes) // 2
    return {
        "cpu_percent": round(100 * notes.cpu_s / notes.wall_s, 1),
        "frame_p50_ms": _ms(notes.frames_s, 50),
        "frame_p95_ms": _ms(notes.frames_s, 95),
        "key_p50_ms": _ms(waited, 50),
        "key_p95_ms": _ms(waited, 95),
        "keys": len(waited),
        "event_p50_ms": _ms(notes.events_s, 50),
        "event_p95_ms": _ms(notes.events_s, 95),
        "events_per_s": round(notes.folded / notes.wall_s, 1),
        "frames_per_s": round(len(notes.frames_s) / notes.wall_s, 2),
        "kilobytes_per_s": round(written / 1000 / (notes.wall_s + SETTLE_S), 1),
        "rss_mb": round(notes.rss_bytes[-1] / 1e6, 1),
        "rss_growth_kb_per_s": round(slope(notes.rss_bytes[half:]) / 1000, 2),
        "wall_s": round(notes.wall_s, 1),
    }


def slope(values: Sequence[int]) -> float:
    """Least-squares growth per place of a series, 0 of fewer than two."""
    number = len(values)
    if number < 2:
        return 0.0
    middle, mean = (number - 1) / 2, sum(values) / number
    above = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return above / sum((place - middle) ** 2 for place in range(number))


def _ms(values_s: Sequence[float], share: float) -> float:
    return round(1000 * percentile(list(values_s), share), 1) if values_s else 0.0


# ---- a recording ----------------------------------------------------------------------------------------------------


async def write_recording(path: Path, events: int, nodes: int) -> None:
    """A recording of `events` events as a daemon would have written it at 500 a second."""
    run, state, t_ns = SyntheticRun(nodes), RunState(), 1_700_000_000_000_000_000
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=t_ns, version="bench", model="m", config={}))
    seq, step_ns = 0, PER_REQUEST * 1_000_000_000 // 500
    batches = run.requests(t_ns, step_ns)
    batch = run.begin(t_ns)
    while seq < events:
        for event in batch:
            seq += 1
            fold(state, event)
            recorder.record(seq, event)
            if recorder.wants_keyframe:
                recorder.keyframe(seq, state)
        if recorder.backlog > MAX_BACKLOG // 4:
            await recorder.flush()
        batch = next(batches)
    await recorder.close()


async def open_and_seek(path: Path) -> dict[str, Any]:
    """How long it takes from nothing to the first state on the feed, and from a seek to its state and log."""
    begun_s = time.perf_counter()
    session = open_session(path)
    feed = ReplayFeed(session, playing=False)
    messages = aiter(feed)
    for _ in range(3):
        await anext(messages)
    opened_s = time.perf_counter() - begun_s
    await anext(messages)
    rng, took_s = Random(3), list[float]()
    for _ in range(SEEKS):
        begun_s = time.perf_counter()
        feed.seek(rng.randrange(session.first_ns, session.last_ns))
        await anext(messages)
        await anext(messages)
        took_s.append(time.perf_counter() - begun_s)
    events = session.last_seq - session.first_seq + 1
    session.close()
    return {
        "events": events,
        "open_s": round(opened_s, 3),
        "seek_p50_ms": _ms(took_s, 50),
        "seek_p95_ms": _ms(took_s, 95),
        "seek_max_ms": round(1000 * max(took_s), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write a record. Exit codes: 0 done, whatever the numbers are; 2 it could not be measured."""
    told = _parse(arguments)
    progress = Progress()
    results: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="radixdeck-bench-") as folder:
            for screen in told.screens:
                progress.say(f"{screen}: {told.seconds:g} s, {told.per_s} events/s, {told.nodes} nodes")
                results[screen] = measure(screen, told.seconds, told.per_s, told.nodes, Path(folder))
            if told.events:
                progress.say(f"a recording of {told.events:,} events")
                path = Path(folder) / "long.db"
                asyncio.run(write_recording(path, told.events, told.nodes))
                results["recording"] = asyncio.run(open_and_seek(path))
                results["recording"]["megabytes"] = round(path.stat().st_size / 1e6, 1)
    except (BenchError, OSError) as error:
        progress.say(f"bench_console: {error}")
        return 2
    print(report(results))
    settings = {"columns": COLUMNS, "rows": ROWS, "seconds": told.seconds, "per_s": told.per_s, "nodes": told.nodes}
    record = Record(kind="console", at=now_utc(), machine=machine(), settings=settings, results=results,
                    verdict=verdict(results))  # fmt: skip
    progress.say(f"record {save(record, told.out)}")
    return 0


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """Which floors were met, by the worst screen."""
    screens = [found for name, found in results.items() if name != "recording"]
    met: dict[str, Any] = {name: all(found[name] < floor for found in screens) for name, floor in FLOORS.items()}
    if recording := results.get("recording"):
        met["open_s"] = recording["open_s"] < OPEN_FLOOR_S
        met["seek_p95_ms"] = recording["seek_p95_ms"] < 1000 * SEEK_FLOOR_S
    return met


def report(results: dict[str, dict[str, Any]]) -> str:
    """Screens side by side with their floors, then the recording."""
    screens = {name: found for name, found in results.items() if name != "recording"}
    names = list(next(iter(screens.values()))) if screens else []
    rows = [[name, *(f"{found[name]:g}" for found in screens.values()), f"{FLOORS.get(name, ''):}"] for name in names]
    text = table(["", *screens, "floor"], rows) if screens else ""
    recording = results.get("recording")
    return text + (f"\n\n{', '.join(f'{name} {value:,}' for name, value in recording.items())}" if recording else "")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m radixdeck.demos.bench_console", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each screen [%(default)s]")
    parser.add_argument("--per-s", type=int, default=500, help="events a second [%(default)s]")
    parser.add_argument("--nodes", type=int, default=2_000, help="resident [%(default)s]")
    parser.add_argument("--screens", nargs="*", default=list(SCREENS), help="which [all of %(default)s]")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the recording, 0 for none [%(default)s]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record [%(default)s]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
