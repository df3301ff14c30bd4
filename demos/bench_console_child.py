"""The measured console: a real ConsoleApp on this terminal, fed from `synthetic.py`, that notes when it drew what.

Started by bench_console.py in a terminal of its own; what it noted goes to a file, since the terminal is in use.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil
from textual import events

from radixdeck.console.app import ConsoleApp
from radixdeck.console.event_log import MAX_LINES
from radixdeck.console.feed_messages import Connection, FeedMessage, NodeEvents, NodeKeyframe, NodeStatus
from radixdeck.console.fleet_state import NodeState
from radixdeck.daemon.wire import CommandName, Keyframe, Reply, Status
from radixdeck.policies import fold_ghosts, fold_others, fold_requests, fold_trends
from radixdeck.policies.residency import RunState, fold

from .synthetic import AGENTS, PER_REQUEST, SyntheticRun

NODE, RUN = "bench", "bench-1"
BATCH_S = 0.032
SETTLE_S = 3.0
RSS_EVERY_S = 1.0
MOST_NOTES = 5_000
"""So many numbers of each kind are kept: in a soak it is the console that may grow, not the notes about it."""


class Task(msgspec.Struct, frozen=True):
    """What to do: show `screen` for `seconds` while `per_s` events a second come to a cache of `nodes` nodes."""

    screen: str
    seconds: float
    per_s: int
    nodes: int
    notes: str


class Notes(msgspec.Struct):
    """Monotonic seconds, the same clock in every process here. `keys`: when a key's effect was on screen, in order;
    `frames_cpu_s`: what each frame took of the processor; `live`: how many of each thing the state held, over time."""

    began_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    frames_s: list[float] = []
    frames_cpu_s: list[float] = []
    frames: int = 0
    events_s: list[float] = []
    keys: list[float] = []
    rss_bytes: list[int] = []
    live: list[dict[str, int]] = []
    folded: int = 0


class SyntheticFeed:
    """A feed at a steady pace. `sent`: number of the last event of each batch that is not on screen yet, and when it
    was made."""

    def __init__(self, run: SyntheticRun, per_s: int) -> None:
        self._run, self._per_s = run, per_s
        self.sent: deque[tuple[int, float]] = deque(maxlen=MOST_NOTES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[FeedMessage]:
        state, t_ns = RunState(), time.time_ns()
        for event in self._run.begin(t_ns):
            fold(state, event)
        yield Connection(True)
        yield NodeStatus(NODE, Status(node=NODE, online=True, run=RUN, state="ready", model="synthetic"))
        yield NodeKeyframe(NODE, Keyframe(run=RUN, seq=0, t_ns=t_ns, state=state))
        seq, due_s = 0, time.monotonic()
        while True:
            due_s += BATCH_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            number = max(1, round(self._per_s * BATCH_S / PER_REQUEST))
            made = [event for _ in range(number) for event in self._run.request(time.time_ns())]
            numbered = list(enumerate(made, seq + 1))
            seq += len(made)
            self.sent.append((seq, time.monotonic()))
            yield NodeEvents(NODE, RUN, numbered[0][0], seq, numbered)

    async def command(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None = None, why: str = ""
    ) -> Reply:
        return Reply(id="", state="refused", detail="nobody is there")


class MeasuredConsole(ConsoleApp):
    """Notes how long each frame took, when each batch was first on screen, and when each key was."""

    CSS_PATH = str(Path(inspect.getfile(ConsoleApp)).with_name("console.tcss"))

    def __init__(self, feed: SyntheticFeed, task: Task) -> None:
        super().__init__(feed)
        self.notes = Notes()
        self._asked, self._synthetic = task, feed
        self._measuring = False
        self._last_key: events.Key | None = None

    def on_ready(self) -> None:
        self.run_worker(self._measure(), group="measure")

    async def _measure(self) -> None:
        await asyncio.sleep(SETTLE_S / 2)
        await self.switch_mode(self._asked.screen)
        await asyncio.sleep(SETTLE_S / 2)
        process = psutil.Process()
        cpu, seq = process.cpu_times(), self.entry.seq if self.entry else 0
        self.notes.began_s, self._measuring = time.monotonic(), True
        self._synthetic.sent.clear()
        while (passed_s := time.monotonic() - self.notes.began_s) < self._asked.seconds:
            self.notes.rss_bytes.append(process.memory_info().rss)
            self.notes.live.append(_sizes(self.entry))
            await asyncio.sleep(min(RSS_EVERY_S, self._asked.seconds - passed_s))
        self._measuring = False
        after = process.cpu_times()
        self.notes.wall_s = time.monotonic() - self.notes.began_s
        self.notes.cpu_s = after.user + after.system - cpu.user - cpu.system
        self.notes.folded = (self.entry.seq if self.entry else 0) - seq
        self.exit()

    def draw(self) -> None:
        """One frame: until everything that this drawing asked for is on the terminal."""
        began_s, began_cpu_s, seq = time.monotonic(), time.process_time(), self.entry.seq if self.entry else 0
        super().draw()
        self.screen.call_after_refresh(self._drawn, began_s, began_cpu_s, seq)

    def _drawn(self, began_s: float, began_cpu_s: float, seq: int) -> None:
        if not self._measuring:
            return
        now_s = time.monotonic()
        self.notes.frames += 1
        _note(self.notes.frames_s, now_s - began_s)
        _note(self.notes.frames_cpu_s, time.process_time() - began_cpu_s)
        sent = self._synthetic.sent
        while sent and sent[0][0] <= seq:
            _note(self.notes.events_s, now_s - sent.popleft()[1])

    async def on_event(self, event: events.Event) -> None:
        await super().on_event(event)
        if isinstance(event, events.Key) and event is not self._last_key:
            # A key that nobody handled comes by a second time on its way up.
            self._last_key = event
            self.screen.call_after_refresh(lambda: _note(self.notes.keys, time.monotonic()))


def _note(values: list[float], value: float) -> None:
    if len(values) < MOST_NOTES:
        values.append(value)


def _sizes(entry: NodeState | None) -> dict[str, int]:
    """How many of each thing the state and the log hold."""
    if entry is None:
        return {}
    run = entry.run
    return {
        "nodes": len(run.nodes),
        "agents": len(run.agents),
        "requests": len(run.requests),
        "sessions": len(run.session_agent),
        "ghosts": sum(map(len, run.ghosts.values())),
        "hurts": len(run.hurts),
        "moments": sum(map(len, run.trends.values())),
        "log_lines": len(entry.log),
    }


def bounds(nodes: int) -> dict[str, int]:
    """The most that there may be of each of `_sizes`: what the cache holds, else the numbers that the fold keeps to."""
    return {
        "nodes": nodes,
        "agents": fold_others.AGENTS_KEPT,
        "requests": fold_requests.REQUESTS_KEPT,
        "sessions": fold_requests.SESSIONS_KEPT,
        "ghosts": fold_ghosts.OWNERS * fold_ghosts.GHOSTS_PER_OWNER,
        "hurts": fold_ghosts.HURTS_KEPT,
        "moments": len(AGENTS) * fold_trends.MOST,
        "log_lines": MAX_LINES,
    }


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1].encode(), type=Task)
    app = MeasuredConsole(SyntheticFeed(SyntheticRun(told.nodes), told.per_s), told)
    app.run()
    Path(told.notes).write_bytes(msgspec.json.encode(app.notes))
