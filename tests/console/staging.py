"""The scenario on stage: as messages of a feed, as a recording, and a console that can be waited for and read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, Self, cast

from scenario import NODE, RUN, T0_NS, folded, run_events
from textual.app import App
from textual.command import CommandPalette
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import (
    Connection,
    FeedMessage,
    NodeEvents,
    NodeKeyframe,
    NodePolicies,
    NodeStatus,
)
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import (
    CommandName,
    Keyframe,
    PoliciesTable,
    PolicyInfo,
    Reply,
    Status,
    SubjectScore,
    TunableInfo,
)
from radixdeck.policies import events as e
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import Session, open_session


def status(state: str = "ready", *, online: bool = True, node: str = NODE) -> NodeStatus:
    return NodeStatus(
        node,
        Status(
            node=node,
            online=online,
            run=RUN,
            state=state,
            model="/models/tiny-qwen",  # type: ignore[arg-type]
            endpoint="http://127.0.0.1:8330/v1",
            recording="/tmp/run.db",
            version="0.1.0",
        ),
    )


def policies() -> PoliciesTable:
    horizon = TunableInfo(
        name="horizon", value=2.0, default=2.0, low=0.5, high=8.0, unit="x", doc="How far ahead to look."
    )
    gate = TunableInfo(
        name="warm_gate", value=0.4, default=0.3, low=0.0, high=1.0, unit="", doc="Least predictability."
    )
    return PoliciesTable(
        policies=[
            PolicyInfo(name="kv_caching", doc="Keeps what is expected back soonest.", slot="eviction", enabled=True,
                       tunables=[horizon, gate], observe_us=31.2, score_us=0.45, decisions=812),
            PolicyInfo(name="lru", doc="SGLang's own order: oldest use first.", slot="eviction", enabled=False),
            PolicyInfo(name="operator", doc="What people ordered.", slot="", enabled=True),
        ],
        predictability=0.62, dispatches=60, survival={"planner": 0.8, "coder": 0.4},
        scores=[SubjectScore(role="anchor", agents=("planner",), key=0.31, parts={"rate_per_s": 0.31})],
    )  # fmt: skip


def keyframe(state: RunState, seq: int, node: str = NODE) -> NodeKeyframe:
    return NodeKeyframe(node, Keyframe(run=RUN, seq=seq, t_ns=state.t_ns, state=state))


def batch(events: list[e.AnyEvent], first_seq: int, node: str = NODE) -> NodeEvents:
    return NodeEvents(node, RUN, first_seq, first_seq + len(events) - 1, list(enumerate(events, first_seq)))


class ScriptedFeed:
    """A feed whose messages the test says. Orders are kept in `orders`, why in `reasons`, and answered with
    `answer`."""

    def __init__(self, messages: list[FeedMessage]) -> None:
        self.queue: asyncio.Queue[FeedMessage] = asyncio.Queue()
        for message in messages:
            self.queue.put_nowait(message)
        self.orders: list[tuple[str, str, dict[str, Any]]] = []
        self.reasons: list[str] = []
        self.answer = Reply(id="1", state="done", tokens=412)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[FeedMessage]:
        while True:
            yield await self.queue.get()

    async def command(
        self, node: str, name: CommandName, arguments: dict[str, Any] | None = None, why: str = ""
    ) -> Reply:
        self.orders.append((node, name, arguments or {}))
        self.reasons.append(why)
        return self.answer

    def tell(self, *messages: FeedMessage) -> None:
        for message in messages:
            self.queue.put_nowait(message)


def live_messages(events: list[e.AnyEvent], *, joined_at: int = 0) -> list[FeedMessage]:
    """What a console hears that joins after `joined_at` events."""
    return [
        Connection(True),
        status(),
        keyframe(folded(events[:joined_at]), joined_at),
        batch(events[joined_at:], joined_at + 1),
        NodePolicies(NODE, policies()),
    ]


SMALL, LARGE = (80, 24), (200, 60)


@asynccontextmanager
async def console(
    size: tuple[int, int] = SMALL, feed: ScriptedFeed | None = None, *, read_only: bool = False
) -> AsyncGenerator[Pilot[None]]:
    app = ConsoleApp(feed or ScriptedFeed(live_messages(run_events())), read_only, animate=False)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


async def recorded(path: Path, events: list[e.AnyEvent], *, keyframe_every: int = 100) -> Session:
    """The events as a recording, read back; numbered from 1 as the daemon does."""
    recorder = Recorder(path, RunInfo(run=RUN, node=NODE, started_ns=T0_NS, version="0.1.0", model="m", config={}))
    state = RunState()
    for seq, event in enumerate(events, 1):
        fold(state, event)
        recorder.record(seq, event)
        if seq % keyframe_every == 0:
            recorder.keyframe(seq, state)
    await recorder.close()
    return open_session(path)


def screen_text(app: App[None]) -> str:
    """What is on the terminal now, line by line."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def toasts(app: App[None]) -> str:
    """What the console said in passing, line by line."""
    return "\n".join(note.message for note in app._notifications)


def left_of(table: SyncTable, title: str) -> int:
    """Where the words of a column begin, seen from the edge of its table."""
    before = takewhile(lambda column: str(column.label) != title, table.ordered_columns)
    return table.gutter.left + sum(column.get_render_width(table) for column in before) + table.cell_padding


def in_words(text: str) -> str:
    """What was drawn as one line, wherever a panel broke it."""
    return " ".join(text.replace("│", " ").split())


async def until(pilot: Pilot[None], true: Callable[[], bool], patience_s: float = 15.0) -> None:
    """Let the app work until something is so."""
    async with asyncio.timeout(patience_s):
        while not true():
            await pilot.pause(0.01)


async def drawn(pilot: Pilot[None]) -> str:
    """Draw what the app knows now, and read it."""
    await pilot.pause()
    for _ in range(2):
        cast(ConsoleApp, pilot.app).draw()
        await pilot.pause()
    return screen_text(pilot.app)


async def sought(pilot: Pilot[None], words: str, found: str) -> None:
    """Look for something in the palette. What is typed before it is up goes to the screen below."""
    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
    await pilot.press(*words)
    await until(pilot, lambda: found in screen_text(pilot.app))
