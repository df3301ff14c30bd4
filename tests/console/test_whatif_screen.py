"""The same requests under other policies, from the keys: rows that run, progress, comparison, what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from scenario import NODE, T0_NS
from staging import ScriptedFeed, console, drawn, live_messages, recorded, until

from radixdeck.console.app import ConsoleApp
from radixdeck.console.feed import ReplayFeed
from radixdeck.console.whatif_runs import Case, WhatIfs
from radixdeck.policies import events as ev
from radixdeck.storage.session import Session


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
    runs.run(small)
    runs.run(large)
    assert not runs.failed
    assert runs.hit_rate(None) == 0
    assert runs.hit_rate(small) == 0
    assert runs.hit_rate(large) == pytest.approx(33 * 49 / (36 * 50))
    found = runs.first_difference(None, large)
    assert found is not None
    assert (found.request.agent, found.first_tokens, found.second_tokens) == ("agent0", 0, 49)
    assert runs.first_difference(None, small) is None
    assert runs.by_agent(large)["agent1"] == (600, 539)
    late = max(runs.requests)
    assert runs.hit_rate(large, late - 1) == pytest.approx(49 / 50)
    assert runs.hit_rate(large, late) is None


async def test_what_cannot_run_is_kept_in_words(session: Session, tmp_path: Path) -> None:
    runs = WhatIfs(session.path)
    runs.run(Case("no such policy"))
    assert "no such policy" in runs.failed[Case("no such policy")]
    (tmp_path / "junk.db").write_bytes(b"junk")
    junk = WhatIfs(tmp_path / "junk.db")
    junk.run(Case("lru"))
    assert "not a SQLite file" in junk.failed[Case("lru")]


async def test_a_run_can_be_stopped(session: Session) -> None:
    runs = WhatIfs(session.path)
    told = runs._told

    def stop_at_once(share: float) -> None:
        runs.stop()
        told(share)

    runs._told = stop_at_once  # type: ignore[method-assign]
    runs.run(Case("lru"))
    assert runs.failed[Case("lru")] == "stopped"


async def test_the_screen_runs_and_compares(session: Session) -> None:
    app = ConsoleApp(ReplayFeed(session, playing=False), animate=False)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0", "right", "right")
        assert "a cache of 2x the recorded size" in await drawn(pilot)
        entry = app.entry
        assert entry is not None
        await pilot.press("A")
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
        assert "the recording is on another machine: /tmp/run.db" in await drawn(pilot)
        await pilot.press("A", "enter", "x", "c", "H")
        await drawn(pilot)
