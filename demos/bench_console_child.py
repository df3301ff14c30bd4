"""The measured console: a real ConsoleApp on this terminal, fed from `synthetic.py`, that notes when it drew what.

Started by bench_console.py in a terminal of its own; what it noted goes to a file, since the terminal is in use.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil
from textual import events
from textual.actions import ActionParseResult
from textual.dom import DOMNode

from radixdeck.console.app import ConsoleApp
from radixdeck.console.collector import calm_collector
from radixdeck.console.event_log import MAX_LINES
from radixdeck.console.feed_messages import Connection, FeedMessage, NodeEvents, NodeKeyframe, NodePolicies, NodeStatus
from radixdeck.console.fleet_state import NodeState
from radixdeck.daemon.policies_table import policy_info
from radixdeck.daemon.wire import CommandName, Keyframe, PoliciesTable, Reply, Status
from radixdeck.policies.fold import ghosts as fold_ghosts
from radixdeck.policies.fold import others as fold_others
from radixdeck.policies.fold import requests as fold_requests
from radixdeck.policies.fold import trends as fold_trends
from radixdeck.policies.host import PolicyHost
from radixdeck.policies.residency import RunState, fold

from .bench_console_beside import ON, SHOWN, begin
from .bench_console_keys import Announced
from .bench_console_notes import Numbers, Sizes
from .bench_console_slices import Slices
from .synthetic import AGENTS, PER_REQUEST, SyntheticRun

NODE, RUN = "bench", "bench-1"
BATCH_S = 0.032
SETTLE_S = 3.0
RSS_EVERY_S = 1.0
ACKNOWLEDGED = "\x1b]2;key "
"""A window title: the number of a key whose effect is on the terminal."""
MOST_NOTES = 5_000
"""So many numbers of each kind are kept: in a soak it is the console that may grow, not the notes about it."""


class Task(msgspec.Struct, frozen=True):
    """What to do: show `screen` for `seconds` while `per_s` events a second come to a cache of `nodes` nodes. One of
    `bench_console_beside` instead of a screen runs on `recording`."""

    screen: str
    seconds: float
    per_s: int
    nodes: int
    notes: str
    recording: str = ""


class Notes(msgspec.Struct):
    """Monotonic seconds, the same clock in every process here. `cpu_s`: of this process, `beside_cpu_s`: of those that
    it started, `others_cpu_s`: of everybody else; `loop_cpu_s`, `slices_*`: of the event loop, see `Slices`;
    `frames_cpu_s`: what each frame took of the processor; `live`: how many of each thing the state held at the end,
    `most_live`: at most."""

    began_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    beside_cpu_s: float = 0.0
    others_cpu_s: float = 0.0
    loop_cpu_s: float = 0.0
    slices_cpu_s: list[float] = []
    slices_s: list[float] = []
    frames_s: list[float] = []
    frames_cpu_s: list[float] = []
    frames: int = 0
    events_s: list[float] = []
    rss_bytes: list[int] = []
    live: dict[str, int] = {}
    most_live: dict[str, int] = {}
    folded: int = 0


class SyntheticFeed:
    """A feed at a steady pace. `sent`: number of the last event of each batch that is not on screen yet, and when it
    was made."""

    def __init__(self, run: SyntheticRun, per_s: int, recording: str = "") -> None:
        self._run, self._per_s, self._recording = run, per_s, recording
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
        told = Status(node=NODE, online=True, run=RUN, state="ready", model="synthetic", recording=self._recording)
        yield NodeStatus(NODE, told)
        yield NodeKeyframe(NODE, Keyframe(run=RUN, seq=0, t_ns=t_ns, state=state))
        yield NodePolicies(NODE, PoliciesTable(policies=[policy_info(fact) for fact in PolicyHost([ON]).info()]))
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
    """Notes how long each frame took and when each batch was first on screen, and tells its terminal behind the frame
    that shows a key's effect which key that was."""

    CSS_PATH = str(Path(inspect.getfile(ConsoleApp)).with_name("console.tcss"))

    def __init__(self, feed: SyntheticFeed, task: Task) -> None:
        super().__init__(feed)
        self.notes = Notes()
        self._frames_s, self._frames_cpu_s, self._events_s = (Numbers(MOST_NOTES) for _ in range(3))
        self._rss_bytes, self._live = Numbers(2 + int(task.seconds / RSS_EVERY_S)), Sizes()
        self._asked, self._synthetic = task, feed
        self._measuring = False
        self._announced = Announced()
        self._numbers: deque[int] = deque()
        self._slices = Slices()

    def on_ready(self) -> None:
        self.run_worker(self._measure(), group="measure")

    async def _measure(self) -> None:
        shown = self._asked.screen
        await asyncio.sleep(SETTLE_S / 2)
        await self.switch_mode(SHOWN.get(shown, shown))
        if shown in SHOWN:
            begin(self, shown)
        await asyncio.sleep(SETTLE_S / 2)
        process = psutil.Process()
        spent = Spent(process)
        seq = self.entry.seq if self.entry else 0
        self._slices.watch()
        self.notes.began_s, self._measuring = time.monotonic(), True
        self._synthetic.sent.clear()
        while (passed_s := time.monotonic() - self.notes.began_s) < self._asked.seconds:
            self._rss_bytes.note(process.memory_info().rss)
            self._live.note(_sizes(self.entry))
            await asyncio.sleep(min(RSS_EVERY_S, self._asked.seconds - passed_s))
        self._measuring = False
        self.notes.wall_s = time.monotonic() - self.notes.began_s
        self.notes.cpu_s, self.notes.beside_cpu_s, self.notes.others_cpu_s = spent.since(Spent(process))
        self.notes.loop_cpu_s = self._slices.cpu_s
        self.notes.slices_cpu_s = sorted(self._slices.longest_cpu_s, reverse=True)
        self.notes.slices_s = sorted(self._slices.longest_s, reverse=True)
        self.notes.folded = (self.entry.seq if self.entry else 0) - seq
        self._write_down()
        self.exit()

    def _write_down(self) -> None:
        notes = self.notes
        notes.frames_s, notes.frames_cpu_s = self._frames_s.values, self._frames_cpu_s.values
        notes.events_s, notes.rss_bytes = self._events_s.values, [int(size) for size in self._rss_bytes.values]
        notes.live, notes.most_live = self._live.last, self._live.most

    def draw(self, *, tables: bool = False) -> None:
        """One frame: until everything that this drawing asked for is on the terminal."""
        began_s, began_cpu_s, seq = time.monotonic(), time.process_time(), self.entry.seq if self.entry else 0
        super().draw(tables=tables)
        self.screen.call_after_refresh(self._drawn, began_s, began_cpu_s, seq)

    def _drawn(self, began_s: float, began_cpu_s: float, seq: int) -> None:
        if not self._measuring:
            return
        now_s = time.monotonic()
        self.notes.frames += 1
        self._frames_s.note(now_s - began_s)
        self._frames_cpu_s.note(time.process_time() - began_cpu_s)
        sent = self._synthetic.sent
        while sent and sent[0][0] <= seq:
            self._events_s.note(now_s - sent.popleft()[1])

    async def on_event(self, event: events.Event) -> None:
        """A key is announced by characters that nothing is bound to and that are its number."""
        digit = event.character if isinstance(event, events.Key) else None
        if digit is None or not self._announced.is_digit(digit):
            await super().on_event(event)
            return
        number = self._announced.number(digit)
        if number is not None and number not in self._numbers:
            self._numbers.append(number)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """What a key does; the terminal is told once the widget that it acted on is on screen anew."""
        done = await super().run_action(action, default_namespace, namespaces)
        if self._numbers:
            (self.focused or self.screen).call_after_refresh(self._acknowledge, self._numbers.popleft())
        return done

    def _acknowledge(self, number: int) -> None:
        """Behind the frame, on the same way."""
        if self._driver is not None:
            self._driver.write(f"{ACKNOWLEDGED}{number}\a")


class Spent:
    """Seconds of the processor up to now: of a process, of its children, of the whole machine."""

    def __init__(self, process: psutil.Process) -> None:
        self.own = _cpu_s(process)
        self.beside = {child.pid: _cpu_s(child) for child in process.children(recursive=True)}
        told = psutil.cpu_times()
        self.busy = told.user + told.nice + told.system

    def since(self, now: Spent) -> tuple[float, float, float]:
        """(own, of the children that live now, of everybody else) from then till now."""
        own = now.own - self.own
        beside = sum(spent - self.beside.get(pid, 0.0) for pid, spent in now.beside.items())
        return own, beside, max(0.0, now.busy - self.busy - own - beside)


def _cpu_s(process: psutil.Process) -> float:
    told = process.cpu_times()
    return told.user + told.system


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
    app = MeasuredConsole(SyntheticFeed(SyntheticRun(told.nodes), told.per_s, told.recording), told)
    calm_collector()
    app.run()
    Path(told.notes).write_bytes(msgspec.json.encode(app.notes))
