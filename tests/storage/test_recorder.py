"""Writing: nothing blocks, nothing raises, nothing is lost without being counted."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from storage_samples import folded, info, recorded, stream

from radixdeck.policies import events as ev
from radixdeck.storage import recorder as recorder_module
from radixdeck.storage.errors import RecordingError
from radixdeck.storage.files import SCHEMA_VERSION, parts_of, run_path
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.schema import migrations
from radixdeck.storage.session import open_session


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def test_every_event_comes_back_as_it_was(tmp_path: Path) -> None:
    events = stream(40)
    recorder = await recorded(tmp_path / "a.db", events)
    assert (recorder.dropped, recorder.failed, recorder.backlog) == (0, "", 0)
    with open_session(tmp_path / "a.db") as session:
        assert session.events(0, 10_000) == list(enumerate(events, 1))


async def test_closed_file_stands_alone_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.db"
    await recorded(path, stream(5))
    assert [part.exists() for part in parts_of(path)] == [True, False, False, False]
    assert path.stat().st_mode & 0o777 == 0o600
    assert query(path, "PRAGMA journal_mode") == [("delete",)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT run, version, ended_why FROM runs") == [("run-1", "0.1.0", "closed")]


def test_schema_version_is_the_number_of_migrations(tmp_path: Path) -> None:
    import sqlite_utils

    assert len(migrations.pending(sqlite_utils.Database(memory=True))) == SCHEMA_VERSION


async def test_background_task_writes_while_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    task = asyncio.create_task(recorder.run())
    for seq, event in enumerate(stream(10), 1):
        recorder.record(seq, event)
    async with asyncio.timeout(10):
        while recorder.backlog:  # noqa: ASYNC110 - the recorder has nobody to tell but its counters
            await asyncio.sleep(0)
    with open_session(recorder.path) as session:
        assert (session.last_seq, session.ended) == (len(stream(10)), False)
    await recorder.close()
    await task


async def test_derived_tables_answer_a_person(tmp_path: Path) -> None:
    path, events = tmp_path / "a.db", stream(60)
    await recorded(path, events)
    state = folded(events)
    hits = query(path, "SELECT agent, requests, prompt_tokens, cached_tokens FROM agent_hits")
    known = state.agents.values()
    assert hits == sorted((a.agent, a.dispatches, a.prompt_tokens, a.cached_tokens) for a in known if a.dispatches)
    evictions = [event for event in events if isinstance(event, ev.NodeEvicted)]
    assert query(path, "SELECT count(*), sum(tokens) FROM decisions") == [(len(evictions), 7 * len(evictions))]
    assert query(path, "SELECT json_extract(parts, '$.rate_per_s') FROM decisions LIMIT 1") == [
        (evictions[0].parts["rate_per_s"],)
    ]
    assert query(path, "SELECT count(*), min(ttft_s), min(output_tokens), min(status) FROM requests") == [
        (60, 0.25, 16, 200)
    ]
    assert query(path, "SELECT name, by, ok FROM commands LIMIT 1") == [("pin", "ann", 1)]
    assert query(path, "SELECT policy, value FROM tunables LIMIT 1") == [("kv_caching", 0.9)]
    assert query(path, "SELECT count(*) FROM sessions WHERE first_ns < last_ns") == [(3,)]


async def test_facts_of_a_request_meet_across_batches(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    for seq, event in enumerate(stream(4), 1):
        recorder.record(seq, event)
        await recorder.flush()
    await recorder.close()
    await recorded(tmp_path / "b.db", stream(4))
    for table in ("requests", "agents", "sessions", "decisions"):
        one, other = (query(tmp_path / name, f"SELECT * FROM {table}") for name in ("a.db", "b.db"))
        assert sorted(map(str, one)) == sorted(map(str, other))


async def test_full_buffer_leaves_a_gap_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MAX_BACKLOG", 10)
    events, recorder = stream(10), Recorder(tmp_path / "a.db", info())
    for seq, event in enumerate(events[:30], 1):
        recorder.record(seq, event)
    assert (recorder.backlog, recorder.dropped) == (10, 20)
    await recorder.flush()
    recorder.record(31, events[30])
    await recorder.close()
    with open_session(recorder.path) as session:
        kept = session.events(0, 100)
    assert [seq for seq, _ in kept] == [*range(1, 12), 31]
    assert isinstance(gap := kept[10][1], ev.EventsDropped)
    assert gap.count == 20


async def test_size_limit_stops_recording_in_words(tmp_path: Path) -> None:
    events, recorder = stream(200), Recorder(tmp_path / "a.db", info(), max_bytes=400_000)
    for seq, event in enumerate(events, 1):
        recorder.record(seq, event)
        if seq % 100 == 0:
            await recorder.flush()
    assert "a.db reached its limit of 400,000 bytes" in recorder.failed
    await recorder.close()
    with open_session(recorder.path) as session:
        kept = session.events(0, 10_000)
        assert session.ended
    assert isinstance(gap := kept[-1][1], ev.EventsDropped)
    assert 0 < recorder.dropped == gap.count == len(events) - len(kept) + 1
    assert "limit" in str(query(recorder.path, "SELECT ended_why FROM runs"))


async def test_locked_file_is_tried_again_and_nothing_is_lost(tmp_path: Path) -> None:
    events, recorder = stream(20), Recorder(tmp_path / "a.db", info())
    other = sqlite3.connect(recorder.path)
    other.execute("BEGIN IMMEDIATE")
    for seq, event in enumerate(events, 1):
        recorder.record(seq, event)
    await recorder.flush()
    assert "database is locked; trying again" in recorder.failed
    assert recorder.backlog == len(events)
    other.rollback()
    other.close()
    await recorder.flush()
    assert (recorder.failed, recorder.backlog, recorder.dropped) == ("", 0, 0)
    await recorder.close()


async def test_full_disk_is_said_and_the_rest_lives(tmp_path: Path) -> None:
    """A real SQLITE_FULL, by a page limit on the writing connection; then room again."""
    events, recorder = stream(400), Recorder(tmp_path / "a.db", info())
    limit = recorder._writer._db.conn.execute
    limit("PRAGMA max_page_count = 60")
    for seq, event in enumerate(events, 1):
        recorder.record(seq, event)
    await recorder.flush()
    assert "disk is full; trying again" in recorder.failed
    limit("PRAGMA max_page_count = 1000000")
    await recorder.close()
    with open_session(recorder.path) as session:
        assert session.events(0, 10_000) == list(enumerate(events, 1))


async def test_full_disk_to_the_end_loses_only_the_rest(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    limit = recorder._writer._db.conn.execute
    events = stream(400)
    for seq, event in enumerate(events[:20], 1):
        recorder.record(seq, event)
    await recorder.flush()
    limit("PRAGMA max_page_count = 60")
    for seq, event in enumerate(events[20:], 21):
        recorder.record(seq, event)
    await recorder.close()
    assert "disk is full" in recorder.failed
    assert recorder.dropped == len(events) - 20
    with open_session(recorder.path) as session:
        assert session.events(0, 20) == list(enumerate(events[:20], 1))


async def test_event_that_cannot_be_stored_costs_only_itself(tmp_path: Path) -> None:
    events = stream(10)
    events[17] = ev.SessionEnded(t_ns=events[17].t_ns, session="half a pair \ud800")
    events[33] = ev.RequestArrived(t_ns=1 << 70, rid="late", agent="a", session="s")
    events[40] = ev.ActionTaken(t_ns=events[40].t_ns, id="1", kind="pin", by="theirs", ttl_s=float("inf"))
    recorder = await recorded(tmp_path / "a.db", events)
    assert (recorder.dropped, recorder.failed) == (3, "")
    with open_session(tmp_path / "a.db") as session:
        kept = session.events(0, 1000)
        assert session.last_ns == max(event.t_ns for event in events if event.t_ns < 1 << 63)
    assert [seq for seq, event in kept if event != events[seq - 1]] == [18, 34, 41]
    assert [seq for seq, _ in kept] == list(range(1, len(events) + 1))


async def test_numbers_must_rise(tmp_path: Path) -> None:
    events, recorder = stream(1), Recorder(tmp_path / "a.db", info())
    for seq in (5, 5, 4, 6):
        recorder.record(seq, events[0])
    assert (recorder.dropped, recorder.backlog) == (2, 2)
    await recorder.close()
    assert (recorder.dropped, recorder.failed) == (2, "")
    with open_session(recorder.path) as session:
        assert [seq for seq, _ in session.events(0, 10)] == [5, 6]


async def test_deleted_file_is_noticed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    for part in parts_of(recorder.path):
        part.unlink(missing_ok=True)
    recorder.record(1, stream(1)[0])
    await recorder.close()
    assert "was deleted" in recorder.failed
    assert recorder.dropped == 1


async def test_after_closing_events_are_counted_not_kept(tmp_path: Path) -> None:
    recorder = await recorded(tmp_path / "a.db", stream(1))
    recorder.record(1000, stream(1)[0])
    await recorder.close()
    assert recorder.dropped == 1


def test_never_overwrites_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("mine")
    with pytest.raises(RecordingError, match=r"a\.db exists already"):
        Recorder(path, info())
    assert path.read_text() == "mine"


def test_folder_that_is_a_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(RecordingError, match=r"x/a\.db"):
        Recorder(tmp_path / "x" / "a.db", info())


def test_names_sort_by_time(tmp_path: Path) -> None:
    paths = [run_path(tmp_path, "box", 1_700_000_000_000_000_000 + step) for step in (0, 5_000_000, 10**9)]
    assert paths == sorted(paths)
    assert paths[1].name == "20231114T221320.005Z-box.db"


WRITER = """
import asyncio, sys
from pathlib import Path
from radixdeck.storage import recorder as module
from storage_samples import info, stream

async def main():
    recorder = module.Recorder(Path(sys.argv[1]), info())
    events, seq = stream(1000), 0
    while True:
        for _ in range(100):
            seq += 1
            recorder.record(seq, events[seq % len(events)])
        await recorder.flush()
        print(seq, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", range(1, 11))
def test_killed_writer_leaves_whole_batches(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "a.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as child:
        assert child.stdout
        said = [int(child.stdout.readline()) for _ in range(acknowledged)][-1]
        child.send_signal(signal.SIGKILL)
    with open_session(path) as session:
        assert session.last_seq >= said
        assert session.last_seq % 100 == 0
        assert [seq for seq, _ in session.events(0, 10**6)] == list(range(1, session.last_seq + 1))
        assert not session.ended
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
