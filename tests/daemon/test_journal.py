"""The journal writes a keyframe into the recording after so many events, so that a replay can seek at any rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from radixdeck.daemon.journal import Journal
from radixdeck.demos.synthetic import SyntheticRun
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session


async def test_keyframes_come_with_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.storage.recorder.KEYFRAME_EVENTS", 50)
    info = RunInfo(run="r", node="n", started_ns=1, version="0", model="m", config={})
    recorder = Recorder(tmp_path / "run.db", info)
    journal, made = Journal("r", recorder), SyntheticRun(20)
    for event in [*made.begin(1), *(event for turn in range(20) for event in made.request(2 + turn))]:
        journal.append(event)
    await recorder.close()
    with open_session(recorder.path) as session:
        assert session.keyframes(0, journal.seq) == [50, 100, 150]
        assert session.keyframes(50, 149) == [100]
        assert session.state_after(journal.seq) == journal.state


async def test_a_recording_that_stands_still_is_not_asked_again_at_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.storage.recorder.KEYFRAME_EVENTS", 50)
    info = RunInfo(run="r", node="n", started_ns=1, version="0", model="m", config={})
    recorder = Recorder(tmp_path / "run.db", info)
    recorder.failed = "the disk is full"
    journal, made = Journal("r", recorder), SyntheticRun(20)
    for event in made.begin(1):
        journal.append(event)
    for turn in range(4):
        for event in made.request(2 + turn):
            journal.append(event)
    assert journal.seq == 21 + 32
    assert not recorder.wants_keyframe
    recorder.failed = ""
    await recorder.close()
    with open_session(recorder.path) as session:
        assert session.keyframes(0, journal.seq) == []
