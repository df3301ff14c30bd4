"""The journal writes a keyframe into the recording after so many events, so that a replay can seek at any rate."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from radixdeck.daemon.journal import Journal
from radixdeck.demos.synthetic import SyntheticRun
from radixdeck.policies.events import NodeAdded
from radixdeck.storage.files import RunInfo
from radixdeck.storage.recorder import Recorder
from radixdeck.storage.session import open_session
from radixdeck.storage.spacing import PERIOD_S


async def test_keyframes_come_with_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.storage.spacing.EVENTS", 50)
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


async def test_keyframes_of_a_large_state_are_further_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radixdeck.storage.spacing.EVENTS", 50)
    monkeypatch.setattr("radixdeck.storage.spacing.BYTES_PER_EVENT", 100)
    info = RunInfo(run="r", node="n", started_ns=1, version="0", model="m", config={})
    recorder = Recorder(tmp_path / "run.db", info)
    journal = Journal("r", recorder)
    for node in range(1, 1_001):
        journal.append(NodeAdded(t_ns=node, node=node, parent=0, start=0, tokens=9, agent="a", session="s"))
    assert recorder.keyframe_period_s == PERIOD_S
    await recorder.close()
    with open_session(recorder.path) as session:
        found = session.keyframes(0, journal.seq)
        apart = [later - earlier for earlier, later in itertools.pairwise(found)]
        assert found[0] == 50
        assert apart == sorted(set(apart))
        sizes = [len(msgspec.json.encode(session.state_after(seq))) for seq in found]
        assert apart == [max(50, size // 100) for size in sizes[:-1]]
        assert session.state_after(journal.seq) == journal.state


async def test_keyframes_by_time_are_further_apart_for_a_large_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.storage.spacing.BYTES_PER_S", 100)
    recorder = Recorder(tmp_path / "run.db", RunInfo("r", "n", 1, "0", "m", {}))
    journal = Journal("r", recorder)
    for node in range(1, 101):
        journal.append(NodeAdded(t_ns=node, node=node, parent=0, start=0, tokens=9, agent="a", session="s"))
    journal.record_keyframe()
    assert recorder.keyframe_period_s == len(msgspec.json.encode(journal.state)) / 100 > 2 * PERIOD_S
    await recorder.close()


async def test_a_recording_that_stands_still_is_not_asked_again_at_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radixdeck.storage.spacing.EVENTS", 50)
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
