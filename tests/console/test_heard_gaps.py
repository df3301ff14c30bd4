"""What a console did not hear, or cannot believe, is missing in what it keeps, and is told with every rate."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from scenario import NODE, RUN
from shadow_stage import BATCH, messages, opened, served_events
from staging import ScriptedFeed, batch, drawn, in_words, keyframe, status, until
from test_heard import console_far_away, on_the_bus

from radixdeck.console import event_log
from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed_messages import Connection, FeedMessage, NodeEvents
from radixdeck.console.fleet_state import FleetState, NodeState
from radixdeck.console.heard import Heard, MadeUp
from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState, fold
from radixdeck.storage.session import open_session

EVENTS = on_the_bus(served_events())


def heard_of(*told: FeedMessage) -> NodeState:
    fleet = FleetState(clock=lambda: 5.0)
    state = RunState()
    fold(state, EVENTS[0])
    for message in (Connection(True), status(), keyframe(state, 1), *told):
        fleet.apply(message)
    return fleet.nodes[NODE]


def after(number: int) -> RunState:
    state = RunState()
    for event in EVENTS[:number]:
        fold(state, event)
    return state


def missing_in(path: Path) -> list[tuple[int, int]]:
    with open_session(path) as session:
        found = session.events(0, 10_000, ("events_dropped",))
    return [(seq, event.count) for seq, event in found if isinstance(event, ev.EventsDropped)]


async def test_what_happened_while_the_connection_was_lost_is_missing() -> None:
    entry = heard_of(
        batch(list(EVENTS[1:100]), 2), keyframe(after(150), 150), batch(list(EVENTS[150:200]), 151),
        keyframe(after(200), 200), batch(list(EVENTS[200:220]), 201), keyframe(after(250), 250),
    )  # fmt: skip
    heard = Heard(entry)
    await heard.take(entry)
    assert missing_in(heard.path) == [(101, 50)]
    assert "; 50 events of that time could not be heard" in heard.words
    entry.log.add(251, EVENTS[250], "")
    await heard.take(entry)
    await heard.take(entry)
    assert missing_in(heard.path) == [(101, 50), (221, 30)]
    assert "; 80 events of that time" in heard.words
    await heard.close()


async def test_what_the_console_let_go_before_it_was_kept_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_LINES", 60)
    entry = heard_of(batch(list(EVENTS[1:20]), 2))
    heard = Heard(entry)
    await heard.take(entry)
    for seq, event in enumerate(EVENTS[20:120], 21):
        entry.log.add(seq, event, "")
    await heard.take(entry)
    assert missing_in(heard.path) == [(21, 40)]
    await heard.close()


async def test_events_of_a_kind_that_nobody_here_knows_are_not_missing() -> None:
    known = [(seq, event) for seq, event in enumerate(EVENTS[1:50], 2) if seq % 7]
    entry = heard_of(NodeEvents(NODE, RUN, 2, 50, known, unknown=49 - len(known)))
    heard = Heard(entry)
    await heard.take(entry)
    assert missing_in(heard.path) == []
    assert "could not be heard" not in heard.words
    await heard.close()


def impossible() -> list[ev.AnyEvent]:
    matched = next(event for event in EVENTS if isinstance(event, ev.PrefixMatched))
    inserted = next(event for event in EVENTS if isinstance(event, ev.PrefixInserted) and event.phase == "finish")
    fields = ("prompt_tokens", "cached_tokens", "base_tokens", "anchor_tokens")
    numbers = (-1, 1 << 42, 1 << 70)
    odd: list[ev.AnyEvent] = [
        msgspec.structs.replace(matched, **{field: number}) for field in fields for number in numbers
    ]
    return [*odd, *(msgspec.structs.replace(inserted, total_tokens=number) for number in numbers)]


async def test_numbers_that_no_prompt_has_are_missing() -> None:
    entry = heard_of(batch(list(EVENTS[1:100]), 2))
    for seq, event in enumerate(impossible(), 101):
        entry.log.add(seq, event, "")
    heard = Heard(entry)
    await heard.take(entry)
    assert missing_in(heard.path) == [(seq, 1) for seq in range(101, 101 + len(impossible()))]
    await heard.close()


async def listened_to(app: ConsoleApp, wanted: str) -> None:
    """The curve, until the words are there. The console is there too."""
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].seq >= len(EVENTS))
        await opened(pilot, "C")
        page = in_words(await drawn(pilot))
        assert wanted in page
        shadow, _ = app.shadows.of(app.fleet.nodes[NODE])
        assert shadow is not None


async def test_garbage_on_the_bus_does_not_end_the_console(tmp_path: Path) -> None:
    told = [*EVENTS[:-BATCH], *impossible(), *EVENTS[-BATCH:]]
    feed = ScriptedFeed(messages(tmp_path / "elsewhere.db", tuple(told)))
    app = ConsoleApp(feed, animate=False, clock=lambda: 5.0)
    await listened_to(app, f"{len(impossible())} events of that time could not be heard")


async def test_what_goes_wrong_while_listening_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise MemoryError("too much")

    monkeypatch.setattr(MadeUp, "filled", wrong)
    await listened_to(
        console_far_away(tmp_path), "what is heard cannot be kept: MemoryError: too much; S starts it anew"
    )
