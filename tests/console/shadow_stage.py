"""A recorded run of six agents under LRU in half the memory that they need, prompts and all; a console that follows."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import msgspec
from scenario import NODE, RUN
from staging import ScriptedFeed, batch, drawn, keyframe, policies, recorded
from textual.pilot import Pilot

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import Connection, FeedMessage, NodePolicies, NodeStatus
from radixdeck.console.widgets.table import SyncTable
from radixdeck.daemon.wire import PoliciesTable, Status, TunableInfo
from radixdeck.demos.streams import StreamSpec, generate_stream
from radixdeck.policies import events as ev
from radixdeck.policies.registry import create
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.evaluate import evaluate

BATCH = 50


@cache
def served_events(requests: int = 80, seed: int = 11) -> tuple[ev.AnyEvent, ...]:
    """What an engine would have reported."""
    stream = generate_stream(StreamSpec(seed=seed, requests=requests))
    events: list[ev.AnyEvent] = []
    evaluate(stream, "lru", stream.working_set_tokens // 2, take=events.append)
    told = [msgspec.structs.replace(event, step=0) if hasattr(event, "step") else event for event in events]
    return (msgspec.structs.replace(told[0], policy="lru"), *told[1:])


def lru_is_on() -> PoliciesTable:
    """The table of `staging`, with lru in the slot and two tunables that kv_caching really has."""
    declared = create("kv_caching").declares[:2]
    tunables = [
        TunableInfo(name=one.name, value=one.default, default=one.default, low=one.low, high=one.high, unit=one.unit,
                    doc=one.doc)
        for one in declared
    ]  # fmt: skip
    ours, lru, operator = policies().policies
    ours = msgspec.structs.replace(ours, enabled=False, tunables=tunables)
    return msgspec.structs.replace(policies(), policies=[ours, msgspec.structs.replace(lru, enabled=True), operator])


def record(path: Path, events: tuple[ev.AnyEvent, ...] = ()) -> Path:
    asyncio.run(_record(path, list(events or served_events())))
    return path


async def _record(path: Path, events: list[ev.AnyEvent]) -> None:
    (await recorded(path, events)).close()


def messages(path: Path, events: tuple[ev.AnyEvent, ...] = ()) -> list[FeedMessage]:
    """What a console hears that joins at the beginning of the run that is recorded at `path`, in as many pieces as keep
    it from taking the run's pace for a clock that jumps."""
    told = list(events or served_events())
    state = RunState()
    fold(state, told[0])
    status = Status(node=NODE, online=True, run=RUN, state="ready", recording=str(path), version="0.1.0")
    return [
        Connection(True),
        NodeStatus(NODE, status),
        keyframe(state, 1),
        *(batch(told[at : at + BATCH], at + 1) for at in range(1, len(told), BATCH)),
        NodePolicies(NODE, lru_is_on()),
    ]


def console_on(path: Path) -> ConsoleApp:
    return ConsoleApp(ScriptedFeed(messages(path)), animate=False, clock=lambda: 5.0)


async def opened(pilot: Pilot[None], key: str, focused: str = "#policies") -> None:
    """What a key opens over the policies with one of their tables focused, when it has read all there is."""
    await pilot.press("4")
    await drawn(pilot)
    pilot.app.screen.query_one(focused).focus()
    await pilot.press(key)
    await settled(pilot)


async def on_policy(pilot: Pilot[None], name: str) -> None:
    """The policies, with the cursor on one of them."""
    await pilot.press("4")
    await drawn(pilot)
    table = pilot.app.screen.query_one("#policies", SyncTable)
    table.focus()
    await pilot.press("home")
    while table.selected != name:
        assert table.cursor_row < table.row_count - 1
        await pilot.press("down")


async def open_shadow(pilot: Pilot[None], name: str = "kv_caching") -> None:
    """A policy beside the one that is on, when it has read all there is."""
    await on_policy(pilot, name)
    await pilot.press("S")
    await settled(pilot)


async def settled(pilot: Pilot[None]) -> None:
    """Until the shadow has read all there is."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    async with asyncio.timeout(30):
        while True:
            app.draw()
            await pilot.pause(0.02)
            shadow = app.shadows.of(app.entry)[0] if app.entry is not None else None
            if shadow is not None and (shadow.settled or shadow.trouble):
                break
    for _ in range(3):
        # Words that grow change the room that a chart below them has: it is drawn into that the next time.
        app.draw()
        await pilot.pause(0.05)
