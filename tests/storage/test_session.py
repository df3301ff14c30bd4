"""Reading: at any time, while it is being written, and when the file is not what it should be."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage_samples import folded, info, recorded, stream

from radixdeck.policies import events as ev
from radixdeck.policies.residency import RunState
from radixdeck.storage.errors import SessionError
from radixdeck.storage.opening import connect_to_recording
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import Session, open_session

EVENTS = stream(120, seed=3)
ARRIVALS = list(itertools.accumulate((event.t_ns for event in EVENTS), max))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "a.db"
    asyncio.run(recorded(path, EVENTS, keyframe_every=97))
    return path


def spoil(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(t_ns=st.integers(ARRIVALS[0] - 10**6, ARRIVALS[-1] + 10**6))
def test_any_moment_equals_folding_from_the_start(recording: Path, t_ns: int) -> None:
    with open_session(recording) as session:
        seq, state = session.state_at(t_ns)
    assert seq == bisect.bisect_right(ARRIVALS, t_ns)
    assert msgspec.json.encode(state) == msgspec.json.encode(folded(EVENTS[:seq]))


def test_going_on_from_a_moment_ends_in_the_same_state(recording: Path) -> None:
    middle = ARRIVALS[400]
    with open_session(recording) as session:
        seq, state = session.state_at(middle)
        rest = session.until(seq, session.last_ns)
        whole = session.state_at(session.last_ns)
    assert [number for number, _ in rest] == list(range(seq + 1, len(EVENTS) + 1))
    assert folded([*EVENTS[:seq], *(event for _, event in rest)]) == whole[1]
    assert state.t_ns <= middle


def test_facts_of_the_run(recording: Path) -> None:
    with open_session(recording) as session:
        assert session.info == info()
        assert (session.first_seq, session.last_seq, session.ended) == (1, len(EVENTS), True)
        assert (session.first_ns, session.last_ns) == (ARRIVALS[0], ARRIVALS[-1])
        assert session.arrived_ns(50) == ARRIVALS[49]
        assert session.arrived_ns(0) == ARRIVALS[0]


@pytest.mark.parametrize("kinds", [("node_evicted",), ("tunable_changed", "command_received"), ("no_such_kind",)])
def test_events_of_some_kinds_and_their_neighbours(recording: Path, kinds: tuple[str, ...]) -> None:
    wanted = [(seq, event) for seq, event in enumerate(EVENTS, 1) if ev.kind_of(event) in kinds]
    numbers = [seq for seq, _ in wanted]
    with open_session(recording) as session:
        assert session.events(0, 10_000, kinds) == wanted
        assert session.events(numbers[1] if numbers else 0, 3, kinds) == wanted[2:5]
        for after in (0, 17, 300, len(EVENTS)):
            assert session.next_of(after, kinds) == next((n for n in numbers if n > after), None)
            assert session.next_of(after, kinds, True) == next((n for n in reversed(numbers) if n < after), None)
        assert session.next_of(0, ()) is None


@pytest.mark.parametrize("buckets", [1, 7, 200])
def test_density_counts_every_event_once_and_where_it_is(recording: Path, buckets: int) -> None:
    span = ARRIVALS[-1] - ARRIVALS[0]
    edges = [ARRIVALS[0] + span * n // buckets for n in range(1, buckets)]
    cuts = [0, *(bisect.bisect_right(ARRIVALS, edge) for edge in edges), len(ARRIVALS)]
    with open_session(recording) as session:
        assert session.density(buckets) == [high - low for low, high in itertools.pairwise(cuts)]
        with pytest.raises(ValueError, match="buckets: 0"):
            session.density(0)


async def test_reading_while_it_is_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    with open_session(recorder.path) as session:
        assert (session.first_seq, session.last_seq, session.ended) == (0, -1, False)
        assert session.state_at(10**19 // 2) == (-1, RunState())
        assert (session.events(-1, 10), session.density(4), session.requests()) == ([], [0, 0, 0, 0], [])
        for seq, event in enumerate(EVENTS[:500], 1):
            recorder.record(seq, event)
            if seq % 100 == 0:
                await recorder.flush()
                session.refresh()
                assert session.last_seq == seq
                assert session.state_at(session.last_ns)[1] == folded(EVENTS[:seq])
        await recorder.close()
        session.refresh()
        assert session.ended
        assert session.events(0, 1000) == list(enumerate(EVENTS[:500], 1))
    with open_session(recorder.path) as again:
        assert again.last_seq == 500


async def test_time_that_runs_backwards_does_not_reorder(tmp_path: Path) -> None:
    times = [100, 300, 200, 250, 400]
    await recorded(tmp_path / "a.db", [ev.CacheFlushed(t_ns=t_ns) for t_ns in times])
    with open_session(tmp_path / "a.db") as session:
        assert [session.state_at(t_ns)[0] for t_ns in (99, 100, 299, 300, 399, 400)] == [0, 1, 1, 4, 4, 5]


async def test_damaged_keyframe_falls_back_to_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await recorded(path, EVENTS, keyframe_every=97)
    spoil(path, "UPDATE keyframes SET state = x'00' WHERE seq > 200")
    with open_session(path) as session:
        assert session.state_at(session.last_ns) == (len(EVENTS), folded(EVENTS))


async def test_events_of_a_later_version_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await recorded(path, EVENTS[:20])
    spoil(
        path,
        """UPDATE events SET body = '{"k":"dream_dreamt","t_ns":1}' WHERE seq = 3;
           UPDATE events SET body = '{"k":"session_ended","t_ns":1}' WHERE seq = 4;
           UPDATE events SET body = 'no json' WHERE seq = 5;
           UPDATE runs SET config = 'no json'""",
    )
    with open_session(path) as session:
        assert [seq for seq, _ in session.events(0, 5)] == [1, 2]
        assert session.skipped == 3
        assert session.info.config == {}
        assert session.state_at(session.last_ns)[0] == 20


# ---- files that are not what they should be ----


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("not a database at all, but long enough to have a header of its own" * 20)


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(9000))


def foreign(path: Path) -> None:
    path.unlink()
    spoil(path, "CREATE TABLE songs (name TEXT)")


def newer(path: Path) -> None:
    spoil(path, "UPDATE runs SET version = '9.9.0'; PRAGMA user_version = 99")


def unbegun(path: Path) -> None:
    spoil(path, "DELETE FROM runs")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def cut_in_header(path: Path) -> None:
    os.truncate(path, 60)


BAD_FILES: dict[Callable[[Path], None], str] = {
    missing: "no such file",
    folder: "not a file",
    empty: "empty, its recording never began",
    text: "not a SQLite file",
    noise: "not a SQLite file",
    foreign: "a SQLite file, but not a radixdeck recording",
    newer: r"written by radixdeck 9\.9\.0 in format 99; this radixdeck reads up to format 1",
    unbegun: "holds no run",
    cut_short: "damaged or cut short",
    cut_in_header: "damaged or cut short",
}


@pytest.mark.parametrize("damage", BAD_FILES, ids=lambda damage: damage.__name__)
def test_bad_file_is_named_and_explained(tmp_path: Path, recording: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "a #1 ?.db"
    path.write_bytes(recording.read_bytes())
    damage(path)
    with pytest.raises(SessionError, match=BAD_FILES[damage]) as caught:
        open_session(path)
    assert "a #1 ?.db" in str(caught.value)


def read_all(path: Path) -> int:
    with open_session(path) as session:
        session.state_at(session.last_ns)
        return len(session.events(0, 10_000))


def test_noise_in_the_middle_is_an_error_not_a_crash(tmp_path: Path, recording: Path) -> None:
    path = tmp_path / "a.db"
    data = bytearray(recording.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 40960] = os.urandom(40960)
    path.write_bytes(data)
    assert read_all(recording) == len(EVENTS)
    with pytest.raises(SessionError, match=r"a\.db: damaged"):
        read_all(path)


def test_killed_recording_opens_where_nothing_may_be_written(tmp_path: Path, recording: Path) -> None:
    """A file still in WAL mode, without its log, in a folder that cannot be written (root may write anywhere)."""
    path = tmp_path / "locked" / "a.db"
    path.parent.mkdir()
    path.write_bytes(recording.read_bytes())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with open_session(path) as session:
            assert session.last_seq == len(EVENTS)
    finally:
        path.parent.chmod(0o700)


def test_a_reader_cannot_write(recording: Path) -> None:
    with open_session(recording) as session, pytest.raises(SessionError, match="readonly"):
        session._rows("DELETE FROM events")


async def test_closing_ends_the_read_that_another_thread_is_in(recording: Path) -> None:
    """A read in a thread goes on when whoever waited for it does not any more."""
    connection, begun = connect_to_recording(recording), threading.Event()
    session = Session(recording, connection)
    connection.set_progress_handler(begun.set, 1_000)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    read = asyncio.create_task(asyncio.to_thread(session._rows, endless))
    await asyncio.to_thread(begun.wait)
    session.close()
    with pytest.raises(SessionError, match="interrupted"):
        await read
    with pytest.raises(SessionError, match="closed"):
        session.events(0, 1)
    session.close()
