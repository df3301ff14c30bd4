"""The same requests under other policies, from the keys: rows that run, progress, comparison, what goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from scenario import NODE, T0_NS
from shadow_stage import record
from staging import (
    LARGE,
    SMALL,
    ScriptedFeed,
    console,
    drawn,
    live_messages,
    recorded,
    screen_text,
    toasts,
    until,
)
from textual.pilot import Pilot
from textual.widgets import Input

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.whatif_case import MODELLED, Case
from radixdeck.console.whatif_runs import WhatIfs
from radixdeck.console.whatif_words import first_seq
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies import events as ev
from radixdeck.storage.errors import StorageError
from radixdeck.storage.session import Session, open_session


def thrashing(rounds: int = 12) -> list[ev.AnyEvent]:
    """Three agents in turn in a cache that holds two of them: LRU finds nothing, another order could."""
    events: list[ev.AnyEvent] = [
        ev.EngineStarted(t_ns=T0_NS, pid=1, model="m", capacity_tokens=110, page_size=1, policy="lru")
    ]
    for number in range(3 * rounds):
        agent, rid, t_ns = f"agent{number % 3}", f"r{number}", T0_NS + number * 10**8
        hashes = np.arange(50, dtype="<u4") + 1000 * (number % 3)
        who = {"rid": rid, "agent": agent, "session": f"s{number % 3}"}
        events += [
            ev.PrefixMatched(t_ns=t_ns, prompt_tokens=50, cached_tokens=0, tail=hashes.tobytes(), **who),
            ev.PrefixInserted(t_ns=t_ns + 1, rid=rid, phase="finish", total_tokens=50, new_tokens=50),
        ]
    return events


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    opened = await recorded(tmp_path / "run.db", thrashing())
    yield opened
    opened.close()


async def test_runs_are_compared_request_by_request(session: Session) -> None:
    runs = WhatIfs(session.path)
    small, large = Case("lru"), Case("lru", 2.0)
    await runs.run([small, large])
    assert not runs.failed
    assert runs.hit_rate(None) == 0
    assert runs.hit_rate(small) == 0
    assert runs.hit_rate(large) == pytest.approx(33 * 49 / (36 * 50))
    found = runs.first_difference(None, large)
    assert found is not None
    assert (found.request.agent, found.first_tokens, found.second_tokens) == ("agent0", 0, 49)
    assert runs.first_difference(None, small) is None
    assert runs.by_agent(large)["agent1"] == (600, 539)
    assert runs.requests is not None
    late = int(runs.requests.seqs[-1])
    assert runs.hit_rate(large, late - 1) == pytest.approx(49 / 50)
    assert runs.hit_rate(large, late) is None


async def test_what_cannot_run_is_kept_in_words(session: Session, tmp_path: Path) -> None:
    runs = WhatIfs(session.path)
    await runs.run([Case("no such policy")])
    assert "no such policy" in runs.failed[Case("no such policy")]
    (tmp_path / "junk.db").write_bytes(b"junk")
    junk = WhatIfs(tmp_path / "junk.db")
    await junk.run([Case("lru")])
    assert "not a SQLite file" in junk.failed[Case("lru")]


async def test_a_run_can_be_stopped(session: Session) -> None:
    runs = WhatIfs(session.path)
    run = asyncio.create_task(runs.run([Case("lru")]))
    await asyncio.sleep(0)
    assert runs.running == Case("lru")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert runs.failed == {Case("lru"): "stopped"}
    assert runs.running is None


async def test_the_screen_runs_and_compares(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0", "right", "right")
        assert "a cache of 2x the recorded size" in await drawn(pilot)
        entry = app.entry
        assert entry is not None
        await pilot.press("down", "c")
        assert "this row has not run: enter runs it" in toasts(app)
        await pilot.press("up", "A")
        runs, _ = app.whatifs(entry)
        assert runs is not None
        await until(pilot, lambda: Case("lru", 2.0) in runs.outcomes and Case("kv_caching", 2.0) in runs.outcomes)
        await until(pilot, lambda: runs.running is None)
        await pilot.press("down")
        text = await drawn(pilot)
        assert "89.8 %" in text
        assert "best possible" in text
        assert "+89.8" in text
        assert "first different: request r3 of agent0" in text
        assert "89.8 points" in text
        await pilot.press("c")
        assert "compared with" in await drawn(pilot)
        await pilot.press("H")
        assert "counted from this moment on" in await drawn(pilot)


async def test_without_a_recording_it_says_so() -> None:
    async with console((120, 40), ScriptedFeed(live_messages([]))) as pilot:
        await pilot.press("0")
        there = " ".join((await drawn(pilot)).split())
        assert "the recording is not on this machine" in there
        assert "radixdeck replay FILE): /tmp/run.db" in there
        assert "ssh -t MACHINE radixdeck console --node" in there, "a path of this machine says nothing on that one"
        await pilot.press("A", "enter", "x", "c", "H")
        await drawn(pilot)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("whatif") / "run.db")


async def change_in_the_middle(pilot: Pilot[None]) -> None:
    """Another policy from the middle of the replay on, run and compared."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    assert app.replay is not None
    await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
    app.replay.seek((app.replay.first_ns + app.replay.last_ns) // 2)
    await until(pilot, lambda: app.fleet.nodes[NODE].seq > 100)
    await pilot.press("0", "F")
    await drawn(pilot)
    runs, _ = app.whatifs(app.fleet.nodes[NODE])
    assert runs is not None
    table = app.screen.query_one("#cases", SyncTable)
    table.move_cursor(row=[key for key, _ in table._rows].index("kv_caching"))
    await pilot.pause()
    await pilot.press("enter")
    await until(pilot, lambda: len(runs.outcomes) == 2 and runs.running is None)
    await drawn(pilot)


def replay_of(path: Path) -> ConsoleApp:
    return ConsoleApp(ReplayFeed(open_session(path), playing=False), animate=False, clock=lambda: 5.0)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_looks_of_a_change_in_the_middle(served: Path, size: tuple[int, int]) -> None:
    """As text: how long a run took is in the table."""
    app = replay_of(served)
    async with app.run_test(size=size) as pilot:
        await change_in_the_middle(pilot)
        text = await drawn(pilot)
        entry = app.fleet.nodes[NODE]
        assert f"what if from event {entry.seq:,} on" in text
        assert re.search(r"> +as modelled", text)
        assert "kv_caching" in text
        assert "first different: request" in text
        assert "first other eviction: as modelled evicts" in text
        runs, _ = app.whatifs(entry)
        assert runs is not None
        case = Case("kv_caching", 1.0, entry.seq)
        assert runs.requests is not None
        early = runs.requests.later(entry.seq)
        assert early > 10
        assert (runs.served(MODELLED)[:early] == runs.served(case)[:early]).all()
        found = first_seq(runs, MODELLED, case, entry.seq)
        assert found is not None
        assert found > entry.seq
        await pilot.press("f")
        await until(pilot, lambda: app.replay is not None and app.replay.position_ns == runs.moment_of(found))
        await pilot.press("F")
        assert "what if: a cache of 1x" in await drawn(pilot)
    assert isinstance(app.feed, ReplayFeed)
    app.feed._session.close()


async def test_tunables_of_a_row_are_typed(served: Path) -> None:
    app = replay_of(served)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0")
        await drawn(pilot)
        table = app.screen.query_one("#cases", SyncTable)
        table.move_cursor(row=[key for key, _ in table._rows].index("kv_caching"))
        await pilot.pause()
        await pilot.press("T")
        await until(pilot, lambda: bool(app.screen.query("#answer")))
        app.screen.query_one("#answer", Input).value = "turnover"
        await pilot.press("enter")
        await until(pilot, lambda: "write name=value" in screen_text(app))
        app.screen.query_one("#answer", Input).value = "turnover=7"
        await pilot.press("enter")
        assert "kv_caching, turn" in await drawn(pilot)
        await pilot.press("enter")
        runs, _ = app.whatifs(app.fleet.nodes[NODE])
        assert runs is not None
        await until(pilot, lambda: Case("kv_caching", 1.0, -1, (("turnover", 7.0),)) in runs.outcomes)
        await pilot.press("f")
    assert isinstance(app.feed, ReplayFeed)
    app.feed._session.close()


async def test_a_tunable_that_is_none_fails_in_words(served: Path) -> None:
    runs = WhatIfs(served)
    case = Case("kv_caching", values=(("speed", 1.0),))
    await runs.run([case])
    assert "no tunable named 'speed'" in runs.failed[case] or "no tunable 'speed'" in runs.failed[case]


async def test_what_is_stopped_ends_and_can_be_wanted_again(served: Path) -> None:
    app = replay_of(served)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0", "A")
        runs, _ = app.whatifs(app.fleet.nodes[NODE])
        assert runs is not None
        await until(pilot, lambda: runs.running is not None)
        stopped = runs.running
        await pilot.press("x")
        await until(pilot, lambda: runs.running is None)
        assert stopped is not None
        assert runs.failed == {stopped: "stopped"}
        await pilot.press("A")
        await until(pilot, lambda: stopped in runs.outcomes)
        assert stopped not in runs.failed
        await pilot.press("x", "A", "x")
        await until(pilot, lambda: runs.running is None)
        assert set(runs.failed.values()) <= {"stopped"}
    assert isinstance(app.feed, ReplayFeed)
    app.feed._session.close()


async def test_a_recording_that_went_is_said_and_a_second_later_part_is_not_begun(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = replay_of(served)

    def gone(seq: int) -> int:
        raise StorageError(f"no event {seq}")

    async with app.run_test(size=LARGE) as pilot:
        await change_in_the_middle(pilot)
        runs, _ = app.whatifs(app.entry)  # type: ignore[arg-type]
        assert runs is not None
        monkeypatch.setattr(runs, "moment_of", gone)
        await pilot.press("f")
        await until(pilot, lambda: "no event" in toasts(app))
        await pilot.press("H")
        await until(pilot, lambda: "F is on" in toasts(app))
