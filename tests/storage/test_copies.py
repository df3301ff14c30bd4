"""Copies of a recording: one file that is opened anywhere, or none."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from storage_samples import info, stream

from radixdeck.storage.errors import SessionError
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session

EVENTS = stream(120, seed=3)


async def test_copy_is_one_file_of_the_same_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    for seq, event in enumerate(EVENTS[:100], 1):
        recorder.record(seq, event)
    await recorder.flush()
    with open_session(recorder.path) as session:
        session.export_copy(tmp_path / "copy.db")
        with pytest.raises(SessionError, match=r"copy\.db exists already"):
            session.export_copy(tmp_path / "copy.db")
        with pytest.raises(SessionError, match="No such file"):
            session.export_copy(tmp_path / "nowhere" / "copy.db")
    with pytest.raises(SessionError, match="closed"):
        session.export_copy(tmp_path / "half.db")
    assert not (tmp_path / "half.db").exists()
    await recorder.close()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with open_session(tmp_path / "copy.db") as copy:
        assert copy.events(0, 1000) == list(enumerate(EVENTS[:100], 1))


async def test_a_copy_there_is_no_room_for_is_told_and_not_left_behind(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.db", info())
    for seq, event in enumerate(EVENTS[:100], 1):
        recorder.record(seq, event)
    await recorder.close()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_session(recorder.path) as session:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(SessionError, match=r"half\.db: "):
                session.export_copy(tmp_path / "half.db")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "half.db").exists()
