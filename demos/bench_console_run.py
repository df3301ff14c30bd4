"""One measured console in a pseudo-terminal of its own: what it writes is read and thrown away, keys are written to it.

Each key has a number, and the console says behind the frame with a key's effect which number that was: a key counts by
what came out of the terminal for it, in whatever order and however late.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from .bench_console_child import ACKNOWLEDGED, SETTLE_S, Notes, Task
from .bench_console_keys import NUMBERS, announcement
from .bench_recording import ms

COLUMNS, ROWS = 200, 60
KEY_EVERY_S = 0.37
KEY = "j"
PATIENCE_S = 2.0
"""A key sent so shortly before the end may stay unanswered."""
ANSWERS = re.compile(re.escape(ACKNOWLEDGED.encode()) + rb"(\d+)\x07")


class BenchError(RuntimeError):
    """The console did not come up or left early."""


class Driven(NamedTuple):
    """Monotonic seconds by key, and how many bytes came."""

    sent_s: dict[int, float]
    seen_s: dict[int, float]
    written: int


class Terminal:
    """What a terminal would read; only the answers to keys are kept."""

    def __init__(self) -> None:
        self.written = 0
        self.seen_s: dict[int, float] = {}
        self._left = b""

    def read(self, told: bytes, now_s: float) -> None:
        self.written += len(told)
        told = self._left + told
        end = 0
        for found in ANSWERS.finditer(told):
            self.seen_s.setdefault(int(found[1]), now_s)
            end = found.end()
        # An answer may come in two pieces.
        self._left = told[max(end, len(told) - 32) :]


def run_screen(task: Task) -> tuple[Notes, Driven]:
    """What it noted and how its keys fared. Raises BenchError."""
    command = [sys.executable, "-m", "radixdeck.demos.bench_console_child", msgspec.json.encode(task).decode()]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as child:
        os.close(slave)
        try:
            driven = _drive(child, master, task)
        finally:
            child.terminate()
    os.close(master)
    if not Path(task.notes).exists():
        raise BenchError(f"{task.screen}: the console ended with {child.returncode} and left no notes")
    notes = msgspec.json.decode(Path(task.notes).read_bytes(), type=Notes)
    if not notes.wall_s:
        raise BenchError(f"{task.screen}: the console ended with {child.returncode} before it was through")
    return notes, driven


def _drive(child: subprocess.Popen[bytes], master: int, task: Task) -> Driven:
    """Read everything and press a key now and then, until the child is through."""
    terminal, sent_s = Terminal(), dict[int, float]()
    end_s = time.monotonic() + task.seconds + 4 * SETTLE_S + 30
    next_s = time.monotonic() + 2 * SETTLE_S
    while child.poll() is None and time.monotonic() < end_s:
        ready, _, _ = select.select([master], [], [], 0.005)
        if ready:
            try:
                terminal.read(os.read(master, 1 << 16), time.monotonic())
            except OSError:
                break
        if time.monotonic() >= next_s and len(sent_s) < NUMBERS:
            next_s += KEY_EVERY_S
            number = len(sent_s)
            sent_s[number] = time.monotonic()
            os.write(master, f"{announcement(number)}{KEY}".encode())
    return Driven(sent_s, terminal.seen_s, terminal.written)


def waits(driven: Driven, began_s: float, wall_s: float) -> tuple[list[float], int]:
    """How long each key waited that was sent while it was measured, and how many never got an answer."""
    asked = [number for number, sent in driven.sent_s.items() if began_s <= sent <= began_s + wall_s - PATIENCE_S]
    answered = [number for number in asked if number in driven.seen_s]
    return [driven.seen_s[number] - driven.sent_s[number] for number in answered], len(asked) - len(answered)


def measure(task: Task) -> dict[str, Any]:
    """One screen in numbers; `others_percent`: of all cores, what others than this console took."""
    notes, driven = run_screen(task)
    waited_s, lost = waits(driven, notes.began_s, notes.wall_s)

    def percent(cpu_s: float) -> float:
        return round(100 * cpu_s / notes.wall_s, 1)

    return {
        "cpu_percent": percent(notes.cpu_s),
        "loop_cpu_percent": percent(notes.loop_cpu_s),
        "beside_cpu_percent": percent(notes.beside_cpu_s),
        "slice_cpu_max_ms": _ms(notes.slices_cpu_s, 100),
        "slice_max_ms": _ms(notes.slices_s, 100),
        "frame_cpu_p95_ms": _ms(notes.frames_cpu_s, 95),
        "frame_p50_ms": _ms(notes.frames_s, 50),
        "frame_p95_ms": _ms(notes.frames_s, 95),
        "key_p50_ms": _ms(waited_s, 50),
        "key_p95_ms": _ms(waited_s, 95),
        "keys": len(waited_s),
        "keys_lost": lost,
        "event_p50_ms": _ms(notes.events_s, 50),
        "event_p95_ms": _ms(notes.events_s, 95),
        "events_per_s": round(notes.folded / notes.wall_s, 1),
        "frames_per_s": round(notes.frames / notes.wall_s, 2),
        "kilobytes_per_s": round(driven.written / 1000 / (notes.wall_s + SETTLE_S), 1),
        "rss_mb": round(notes.rss_bytes[-1] / 1e6, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "others_percent": round(percent(notes.others_cpu_s) / (psutil.cpu_count() or 1), 1),
        "wall_s": round(notes.wall_s, 1),
    }


def _ms(values_s: Sequence[float], percent: float) -> float:
    return ms(list(values_s), percent)
